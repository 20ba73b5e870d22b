"""From a volume and prompts to masks: encode once, prompt often."""
