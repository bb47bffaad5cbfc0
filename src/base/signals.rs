//! Requests to end: Ctrl-C, SIGTERM, SIGHUP, which a closed terminal sends, and SIGUSR1 and SIGUSR2, by which some clusters
//! warn of a time limit.
//!
//! A command ends at once, after it removed what it had under work. One that saves what it has says so with
//! [`on_request`].

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Once, PoisonError};

use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

use super::{Kind, temporary};

type Handler = Box<dyn FnMut(i32) + Send>;

static HANDLER: Mutex<Option<Handler>> = Mutex::new(None);

/// Hears signals from now on, on a thread of its own. Where that is not possible they have their usual effect.
pub fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where an allocation fails that nobody checks, Rust says so and aborts: that is the code of memory.
        let no_memory = i32::from(Kind::Device.exit_code());
        let always = Arc::new(AtomicBool::new(true));
        let _ = flag::register_conditional_shutdown(SIGABRT, no_memory, always);
        listen();
    });
}

#[cfg(unix)]
fn listen() {
    use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
    let heard = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2].into_iter();
    let heard = heard.filter(|signal| !is_ignored(*signal));
    if let Ok(mut signals) = signal_hook::iterator::Signals::new(heard) {
        std::thread::spawn(move || signals.forever().for_each(act));
    }
}

/// Elsewhere signals set a flag that is looked at now and then.
#[cfg(not(unix))]
fn listen() {
    for signal in [SIGINT, SIGTERM] {
        let raised = Arc::new(AtomicBool::new(false));
        if flag::register(signal, raised.clone()).is_ok() {
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    if raised.swap(false, std::sync::atomic::Ordering::SeqCst) {
                        act(signal);
                    }
                }
            });
        }
    }
}

/// From now on `handler` decides what a signal does; it may call [`exit`].
pub fn on_request(handler: impl FnMut(i32) + Send + 'static) {
    hear();
    *HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
}

/// Ends the process, with nothing half written left behind.
pub fn exit(code: i32) -> ! {
    temporary::remove_all();
    std::process::exit(code)
}

/// Whether the process was started so that a signal does nothing, as `nohup` does it with SIGHUP: that stays so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action `sigaction` only writes the present one into `present`, which it may, because it is a
    // whole one of ours; all of its fields are integers and a pointer, for which zeros are values.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut present) == 0
            && present.sa_sigaction == libc::SIG_IGN
    }
}

fn act(signal: i32) {
    match HANDLER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
    {
        Some(handler) => handler(signal),
        None => {
            temporary::remove_all();
            let _ = emulate_default_handler(signal);
        }
    }
}
