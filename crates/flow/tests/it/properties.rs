//! Random histories. An adversary answers anything at any time; a truthful provider loses answers, executes
//! late and lags, within its bounds.

mod adversary;
mod truth;
