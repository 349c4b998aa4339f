//! What the host has and lacks.
