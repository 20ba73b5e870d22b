"""Models and adapters as folders for other programs: the Hugging Face hub, peft, MONAI. A folder is new, and whole."""
