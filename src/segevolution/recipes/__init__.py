"""Parts that all recipes share: datasets, roles of patients, stores, and the reader."""
