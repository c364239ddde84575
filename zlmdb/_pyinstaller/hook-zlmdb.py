"""What PyInstaller does not see of zLMDB: names that are imported when they are used, and files."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

from zlmdb._flatc import get_flatc_path

hiddenimports = collect_submodules("zlmdb", filter=lambda name: name != "zlmdb._pyinstaller")
# What the compiled module of cbor2 imports when it meets such a value.
hiddenimports += [
    "datetime",
    "decimal",
    "email.mime.text",
    "email.parser",
    "fractions",
    "ipaddress",
    "re",
    "uuid",
]
# Among the data it would not be executable everywhere.
binaries = [(str(get_flatc_path()), "zlmdb/_flatc/bin")]
datas = collect_data_files("zlmdb.flatbuffers")
# Only compared with, if a program has it anyway.
excludedimports = ["autobahn"]
