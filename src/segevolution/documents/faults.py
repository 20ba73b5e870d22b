"""A fault of a document, raised before its path and the caller's error class are known."""


class DocumentFault(Exception):
    """Says what is wrong with a document, as the end of a sentence that begins with its path.

    Args:
        text: such as 'is not JSON at line 3' or ': labels.liver must be a whole number, not "x"', without a full stop.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def sentence(self, where: str) -> str:
        """The whole sentence, `where` first."""
        gap = "" if self.text.startswith(":") else " "
        end = "" if self.text.endswith(("?", ".")) else "."
        return f"{where}{gap}{self.text}{end}"
