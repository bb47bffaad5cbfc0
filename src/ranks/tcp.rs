//! Messages over TCP: for `torchrun` and `srun`, which bring no library.
//!
//! Rank 0 listens at the address that all know. Each other rank listens at a port of its own, tells rank 0 which, and learns where those
//! between them are; so there is one connection for each pair. A message is its length in 8 bytes, then its bytes. There is no
//! encryption: the network is the cluster's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Transport, World, gone};
use crate::base::{Error, Kind, Result, Shown};

/// How long the others may take to come.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// How a process of ours begins to speak.
const GREETING: &str = "ffn ranks 1";
/// Of a greeting, which comes from anybody.
const MOST: u64 = 1 << 16;
/// Of a message.
const MOST_OF_MESSAGE: u64 = 1 << 40;

pub struct Tcp {
    address: String,
    /// By rank; none to itself.
    peers: Vec<Option<TcpStream>>,
}

impl Tcp {
    pub fn meet(world: &World, (host, port): (&str, u16), token: &str) -> Result<Self> {
        let address = format!("{host}:{port}");
        let peers = match world.rank {
            0 => first(world, port, token)?,
            _ => other(world, &address, token)?,
        };
        for peer in peers.iter().flatten() {
            // Orders are short and wait for nothing.
            let _ = peer.set_nodelay(true);
            keep_alive(peer);
        }
        Ok(Self { address, peers })
    }

    fn peer(&mut self, rank: usize) -> Result<&mut TcpStream> {
        let peer = self.peers.get_mut(rank).and_then(Option::as_mut);
        peer.ok_or_else(|| gone(rank, "there is no such rank"))
    }
}

impl Transport for Tcp {
    fn name(&self) -> String {
        format!("TCP, {}", self.address)
    }

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<()> {
        let peer = self.peer(to)?;
        write(peer, bytes).map_err(|error| gone(to, error))
    }

    fn receive(&mut self, from: usize) -> Result<Vec<u8>> {
        let peer = self.peer(from)?;
        read(peer, MOST_OF_MESSAGE).map_err(|error| gone(from, error))
    }
}

/// Has the system ask now and then whether the other machine is still there: one that vanished says nothing by itself.
#[cfg(target_os = "linux")]
fn keep_alive(peer: &TcpStream) {
    use std::os::fd::AsRawFd;
    let set = |level, name, value: libc::c_int| {
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the socket is open, and the value is an int of the size that is told, which outlives the call.
        unsafe {
            libc::setsockopt(
                peer.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size,
            );
        }
    };
    set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    set(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 30);
    set(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 10);
    set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 6);
}

#[cfg(not(target_os = "linux"))]
fn keep_alive(_: &TcpStream) {}

fn write(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

fn read(from: &mut TcpStream, most: u64) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let too_long = || std::io::Error::new(ErrorKind::InvalidData, "it said too much");
    if length > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(length as usize);
    reserved.map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
    match from.take(length).read_to_end(&mut bytes)? as u64 == length {
        true => Ok(bytes),
        false => Err(std::io::Error::from(ErrorKind::UnexpectedEof)),
    }
}

/// What a rank says first: who it is, and at which port it listens.
fn greeting(token: &str, (rank, port): (usize, u16)) -> Vec<u8> {
    format!("{GREETING}\n{token}\n{rank}\n{port}").into_bytes()
}

/// Rank and port; `None` of who is none of ours.
fn understood(bytes: &[u8], token: &str) -> Option<(usize, u16)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split('\n');
    let ours = lines.next()? == GREETING && lines.next()? == token;
    let (rank, port) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    ours.then_some((rank, port))
}

fn none(size: usize) -> Vec<Option<TcpStream>> {
    (0..size).map(|_| None).collect()
}

/// Takes so many connections of ranks above `own`, and what port each has.
fn accept(
    listener: &TcpListener,
    peers: &mut [Option<TcpStream>],
    (count, own): (usize, usize),
    token: &str,
) -> Result<Vec<(usize, SocketAddr)>> {
    let failed =
        |error: std::io::Error| Error::new(Kind::Device, format!("cannot listen: {error}"));
    listener.set_nonblocking(true).map_err(failed)?;
    let limit = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while heard.len() < count {
        let (mut stream, address) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < limit => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let message = format!(
                    "{} of {count} other ranks came within {} s",
                    heard.len(),
                    PATIENCE.as_secs()
                );
                return Err(Error::new(Kind::Device, message)
                    .hint("their own output says why they did not"));
            }
            Err(error) => return Err(failed(error)),
        };
        let greeted = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(10))))
            .and_then(|()| read(&mut stream, MOST))
            .and_then(|said| stream.set_read_timeout(None).map(|()| said));
        // Whoever says something else is none of ours.
        let Some((rank, port)) = greeted.ok().and_then(|said| understood(&said, token)) else {
            continue;
        };
        let place = peers
            .get_mut(rank)
            .filter(|place| rank > own && place.is_none());
        if let Some(place) = place {
            *place = Some(stream);
            heard.push((rank, SocketAddr::new(address.ip(), port)));
        }
    }
    Ok(heard)
}

fn connect(addresses: &[SocketAddr], what: &str) -> Result<TcpStream> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(addresses) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < limit => std::thread::sleep(PAUSE),
            Err(error) => {
                let message = format!("cannot reach {what}: {error}");
                return Err(Error::new(Kind::Device, message).hint(
                    "nodes must reach one another at that port; a firewall may be between them",
                ));
            }
        }
    }
}

fn first(world: &World, port: u16, token: &str) -> Result<Vec<Option<TcpStream>>> {
    let listener = TcpListener::bind(("0.0.0.0", port)).map_err(|error| {
        let message = format!("rank 0 cannot listen at port {port}: {error}");
        Error::new(Kind::Device, message)
            .hint("another job on this node may have it; MASTER_PORT names another")
    })?;
    let mut peers = none(world.size);
    let mut places = accept(&listener, &mut peers, (world.size - 1, 0), token)?;
    places.sort_unstable_by_key(|(rank, _)| *rank);
    let table: Vec<String> = places.iter().map(|(_, place)| place.to_string()).collect();
    for (rank, peer) in peers.iter_mut().enumerate() {
        if let Some(peer) = peer {
            write(peer, table.join("\n").as_bytes()).map_err(|error| gone(rank, error))?;
        }
    }
    Ok(peers)
}

fn other(world: &World, address: &str, token: &str) -> Result<Vec<Option<TcpStream>>> {
    let failed =
        |error: std::io::Error| Error::new(Kind::Device, format!("cannot listen: {error}"));
    let listener = TcpListener::bind(("0.0.0.0", 0)).map_err(failed)?;
    let own = (world.rank, listener.local_addr().map_err(failed)?.port());
    let what = format!("rank 0 at {}", address.shown());
    let resolved = address
        .to_socket_addrs()
        .map_err(|error| Error::new(Kind::Device, format!("cannot find {what}: {error}")))?;
    let mut addresses: Vec<SocketAddr> = resolved.collect();
    addresses.sort_by_key(|address| matches!(address.ip(), IpAddr::V6(_)));
    let mut root = connect(&addresses, &what)?;
    let greeting = greeting(token, own);
    write(&mut root, &greeting).map_err(|error| gone(0, error))?;
    let table = read(&mut root, MOST).map_err(|error| gone(0, error))?;
    let table = String::from_utf8_lossy(&table).into_owned();
    let mut peers = none(world.size);
    for (rank, place) in (1..world.rank).zip(table.lines()) {
        let mut place: SocketAddr = place
            .parse()
            .map_err(|_| gone(0, "it does not say where the others are"))?;
        // One beside rank 0, which knows it by an address that means another machine here.
        if place.ip().is_loopback() {
            place.set_ip(root.peer_addr().map_err(|error| gone(0, error))?.ip());
        }
        let mut peer = connect(&[place], &format!("rank {rank} at {place}"))?;
        write(&mut peer, &greeting).map_err(|error| gone(rank, error))?;
        peers[rank] = Some(peer);
    }
    let above = world.size - 1 - world.rank;
    accept(&listener, &mut peers, (above, world.rank), token)?;
    peers[0] = Some(root);
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::super::world::Meeting;
    use super::*;

    /// A port that nobody has at the moment.
    fn free_port() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn every_pair_of_ranks_is_connected() {
        let (size, port) = (4, free_port());
        let meet = |rank: usize| {
            let world = World {
                rank,
                size,
                local_size: 1,
                meeting: Meeting::Pmi,
            };
            Tcp::meet(&world, ("127.0.0.1", port), "job").unwrap()
        };
        let sums: Vec<usize> = std::thread::scope(|scope| {
            // A stranger is not taken for a rank.
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                if let Ok(mut stranger) = TcpStream::connect(("127.0.0.1", port)) {
                    let _ = write(&mut stranger, b"GET / HTTP/1.1");
                }
            });
            let threads = (0..size).map(|rank| {
                scope.spawn(move || {
                    let mut tcp = meet(rank);
                    let others = (0..size).filter(|&other| other != rank);
                    for to in others.clone() {
                        tcp.send(to, &vec![rank as u8; 100_000]).unwrap();
                    }
                    for from in others.clone() {
                        let bytes = tcp.receive(from).unwrap();
                        assert_eq!(bytes, vec![from as u8; 100_000]);
                    }
                    others.sum()
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(sums, [6, 5, 4, 3]);
    }

    #[test]
    fn who_says_something_else_is_not_understood() {
        assert_eq!(understood(&greeting("a", (3, 80)), "a"), Some((3, 80)));
        for bytes in [
            &greeting("b", (3, 80))[..],
            b"",
            b"\xff",
            b"ffn ranks 1\na\nx\n1",
        ] {
            assert_eq!(understood(bytes, "a"), None);
        }
    }
}
