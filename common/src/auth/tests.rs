//! Tokens and forgeries.
