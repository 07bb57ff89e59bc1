//! A bare echo on monoio: no protocol, no look-up, one read and one write of whatever has arrived.

use std::net::SocketAddr;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

/// Bytes of a message that the load sends.
pub(crate) const MESSAGE_BYTES: usize = 64;

/// Bytes that are taken at once: all messages of a connection that has 16 in flight, and more.
const READ_BYTES: usize = 4096;

/// Serves until the process is ended, with the ring flags that the gateway's frontends use.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_coop_taskrun().setup_single_issuer();
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(4096).uring_builder(flags);
    builder.build()?.block_on(async {
        let listener = TcpListener::bind(address)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            monoio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        let (read, bytes) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let (written, bytes) = stream.write_all(bytes).await;
        if written.is_err() {
            return;
        }
        buffer = bytes;
        buffer.clear();
    }
}
