"""Options that several commands have: how an image is read, which model answers, what a dataset does not say."""

from typing import Annotated

import typer

ImageModality = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="CT, MRI, PET or US. DICOM says it itself; other files cannot, so name it."),
]
SeriesUid = Annotated[
    str | None, typer.Option(metavar="UID", help="SeriesInstanceUID, where a DICOM folder holds several.")
]
Orientation = Annotated[
    str | None,
    typer.Option(metavar="CODES", help="Where the image's axes point, such as LAS, if its file does not say it."),
]
VoxelSpacing = Annotated[
    str | None, typer.Option(metavar="X,Y,Z", help="Millimetres between voxels, if the file does not say them.")
]
TimePoint = Annotated[int | None, typer.Option(metavar="N", help="Which time point of a 4-D file, counted from 0.")]
ModelName = Annotated[
    str, typer.Option(metavar="NAME", help="A name (see: segevolution models list) or a model folder.")
]
AnsweringModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A name (see: segevolution models list) or a model folder. Default: the model that --adapter names as its "
        "base, else segvol-mini.",
    ),
]
DatasetModality = Annotated[str | None, typer.Option(help="CT, MRI, PET or US, where the dataset does not say.")]
DatasetSequence = Annotated[str | None, typer.Option(help="MR sequence of every case, such as T2.")]
PatientRule = Annotated[
    str | None,
    typer.Option(
        "--patient-from",
        "--patients",
        help="Who is the patient: a regular expression whose group, in a file name, says it, or a table of file "
        "names and patients (.csv, .tsv, .json).",
    ),
]
