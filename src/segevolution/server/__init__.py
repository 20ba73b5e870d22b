"""A server that clicks can be sent to: its own API, nnInteractive's and MONAI Label's protocols, and a page.

One session core, `inference.session`, answers for all of them.
"""
