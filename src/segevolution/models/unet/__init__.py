"""An automatic network: a U-Net without prompts, whose structures are asked for by name."""
