//! A bare echo of 64-byte messages on monoio: no protocol, no look-up, one read and one write.

use std::net::SocketAddr;

use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;

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
    let mut buffer = vec![0; MESSAGE_BYTES];
    loop {
        let (read, bytes) = stream.read_exact(buffer).await;
        if read.is_err() {
            return;
        }
        let (written, bytes) = stream.write_all(bytes).await;
        if written.is_err() {
            return;
        }
        buffer = bytes;
    }
}
