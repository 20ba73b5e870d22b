"""Base networks: trained from nothing in stages, or their encoder without labels."""
