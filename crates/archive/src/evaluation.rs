//! The rows of the archive's evaluation: models beside head and tail sampling and general codecs.
