//! Files of format 1.
