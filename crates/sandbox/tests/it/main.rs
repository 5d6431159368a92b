//! The sandbox over real sockets.

#[cfg(test)]
mod adyen;
#[cfg(test)]
mod client;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod load;
#[cfg(test)]
mod own;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod stripe;
#[cfg(test)]
mod webhooks;
