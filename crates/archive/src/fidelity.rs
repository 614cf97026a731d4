//! How well one set of traces answers the queries another answers.
