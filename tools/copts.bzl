"""Compiler flags of all our own code: warnings are errors."""

SOTTO_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wpedantic",
    "-Wshadow",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wcast-qual",
    "-Wformat=2",
    "-Wimplicit-fallthrough",
    "-Wno-missing-field-initializers",
    "-Wno-unknown-warning-option",
]
