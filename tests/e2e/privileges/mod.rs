//! What the parts may do, and what they are refused.

mod hostile;
