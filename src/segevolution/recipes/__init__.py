"""What every kind of recipe shares: its parts, its datasets with their roles and stores, and how it is read."""
