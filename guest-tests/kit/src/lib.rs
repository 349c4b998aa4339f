//! Fault injection, tracefs and CPU pinning for guest tests.
