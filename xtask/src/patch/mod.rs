//! The patch: what it is, whether it is sound, and proof that what was applied is what was posted.
