//! A fake workload drives the engine: every verdict, side by side, interrupted at any moment.

use super::*;
