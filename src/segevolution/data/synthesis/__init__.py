"""Simulated patients: anatomies with exact labels, and the CT and MRI signal they would give."""
