"""Training: losses, the six-prompt objective, and one loop for pre-training and adaptation."""
