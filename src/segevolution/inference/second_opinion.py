"""A second opinion on scans whose contrast may be the other way round: the question with bright and dark exchanged.

A network that was trained on CT expects a liver brighter than fat and about as bright as a spleen. In an MRI each may
be otherwise, by the sequence or by iron in the organ. So where a scan was given the intensities of another modality,
each question is also asked, at a glance, of the same scan with its greys exchanged; where the network is surer of that
answer, it is asked in full, and the answer of the higher predicted overlap is given. The network decides by its own
estimate, structure by structure, without any label.
"""

from collections.abc import Callable
from dataclasses import replace

from ..imaging.intensity import NORMALISERS, Image
from ..imaging.table_image import TableImage
from ..imaging.volume import Volume
from ..models.spec import Spec
from ..vocabulary import Context
from .encodings import Counts
from .frame_prompt import FramePrompt
from .strategies.base import Answer, OpenImage
from .strategies.zoom import ZoomImage

MARGIN = 0.05  # of predicted overlap, by which the other answer must be surer
NOTE = "answered with bright and dark exchanged, where the network is surer of itself"


class SecondOpinion:
    """The same scan with its greys exchanged, opened when the first question comes.

    Args:
        image: of the frame.
        exchanged: what becomes of its greys.
        open_image: makes an image ready for prompts.
    """

    def __init__(
        self,
        image: Image | TableImage,
        exchanged: Callable[[Image], Image],
        open_image: Callable[[Image | TableImage], OpenImage],
    ) -> None:
        self._image, self._exchanged, self._open_image = image, exchanged, open_image
        self._opened: tuple[OpenImage, OpenImage] | None = None

    @classmethod
    def where_due(
        cls,
        volume: Volume,
        spec: Spec,
        image: Image | TableImage,
        open_image: Callable[[Image | TableImage], OpenImage],
    ) -> "SecondOpinion | None":
        """One for a scan whose intensities the network's recipe changes; None for any other.

        Nor is there one for a network that does not tell how sure it is, that does not look at the whole scan first, or
        that learned scans as they are: of one with its greys exchanged it is sure, and wrong.
        """
        normaliser = NORMALISERS[spec.intensity]
        asks = spec.estimates_overlap and spec.exchanged_greys and spec.framing == "zoom"
        if not asks or not normaliser.changes(volume):
            return None
        return cls(image, normaliser.exchanged, open_image)

    @property
    def counts(self) -> Counts:
        """Encodings and decodings done for it so far."""
        return Counts() if self._opened is None else self._opened[1].counts

    def surer(self, answer: Answer, prompt: FramePrompt, context: Context) -> Answer:
        """The answer, or the one with greys exchanged where its predicted overlap is higher by MARGIN."""
        glance, closely = self._images()
        for looked_at in (glance, closely):
            (other,) = looked_at.answers([prompt], [context])
            if not other.iou > answer.iou + MARGIN:
                return answer
        return replace(other, notes=(*other.notes, NOTE))

    def _images(self) -> tuple[OpenImage, OpenImage]:
        """To be asked at a glance, and closely; both from the same encodings."""
        if self._opened is None:
            image = self._image
            greys = image.mapped(self._exchanged) if isinstance(image, TableImage) else self._exchanged(image)
            closely = self._open_image(greys)
            self._opened = ZoomImage(closely.encodings, "off"), closely
        return self._opened
