//! `ffn book`: numbers by reference, what makes a build fail, and what the pages look like.

mod numbers;
mod mistakes;
mod support;
