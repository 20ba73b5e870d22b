"""nnInteractive's network: a residual encoder U-Net that reads prompts as channels beside the image."""
