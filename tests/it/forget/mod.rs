//! Forgetting people: what concerns them is gone, what concerns others is not, and nothing is proven by
//! it that was not before.

#[cfg(test)]
mod command;
#[cfg(test)]
mod store;
