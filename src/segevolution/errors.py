"""Every error a user can meet, each one sentence: what was wrong, where, and what to do.

SegevolutionError                  the command line prints it and exits with status 2
├── VolumeError                    an image that cannot be used: shape, spacing, voxels
│   └── FormatError                a file that cannot be read: missing, truncated, not an image
│       └── OversizeError          a file that needs more memory than it may take
├── PromptError                    a point, box or text that cannot be used on this image
├── VocabularyError                an unknown structure or modality
├── CheckpointError                weights that cannot be loaded
├── AdapterError                   an adapter that does not fit, or cannot do what is asked
├── StoreError                     a dataset or a store of cases that cannot be read or written
├── RecipeError                    a recipe that cannot be run
├── OutputError                    a place that cannot be written
└── DeviceError                    a device that is not there
"""


class SegevolutionError(Exception):
    """Base of all errors that this package raises on purpose."""


class VolumeError(SegevolutionError):
    """An image cannot be used: wrong number of dimensions, bad spacing, NaN, constant."""


class FormatError(VolumeError):
    """A file cannot be read as an image: missing, truncated, unknown or inconsistent."""


class OversizeError(FormatError):
    """A file needs more memory than it may take."""


class PromptError(SegevolutionError):
    """A point, box or text cannot be used on this image."""


class VocabularyError(SegevolutionError):
    """A structure or modality is not known."""


class CheckpointError(SegevolutionError):
    """Weights cannot be loaded: missing, unsafe, or of another network."""


class AdapterError(SegevolutionError):
    """An adapter does not fit its base, or cannot do what is asked of it."""


class StoreError(SegevolutionError):
    """A dataset or a store of cases cannot be read or written."""


class RecipeError(SegevolutionError):
    """A recipe cannot be run: unknown keys, impossible values, missing parts."""


class OutputError(SegevolutionError):
    """A file or folder cannot be written, or exists already."""


class DeviceError(SegevolutionError):
    """The device that was asked for is not there."""
