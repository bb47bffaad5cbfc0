//! Ranks as threads of one process: for whoever tries what ranks do without starting any.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Ranks, Transport, gone};
use crate::base::Result;

struct Local {
    /// To and from each rank, itself included.
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// So many ranks, each for a thread of its own.
pub fn in_process(size: usize) -> Vec<Ranks> {
    let mut senders: Vec<Vec<Sender<_>>> = (0..size).map(|_| Vec::new()).collect();
    let mut receivers: Vec<Vec<Receiver<_>>> = (0..size).map(|_| Vec::new()).collect();
    for to in &mut receivers {
        for from in &mut senders {
            let (sender, receiver) = channel();
            from.push(sender);
            to.push(receiver);
        }
    }
    let all = senders.into_iter().zip(receivers).enumerate();
    all.map(|(rank, (to, from))| Ranks::new(rank, size, Box::new(Local { to, from })))
        .collect()
}

impl Transport for Local {
    fn name(&self) -> String {
        "one process".to_owned()
    }

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<()> {
        let sent = self.to.get(to).map(|to| to.send(bytes.to_vec()));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(gone(to, "it hears nothing")),
        }
    }

    fn receive(&mut self, from: usize) -> Result<Vec<u8>> {
        let heard = self.from.get(from).and_then(|from| from.recv().ok());
        heard.ok_or_else(|| gone(from, "it says nothing"))
    }
}
