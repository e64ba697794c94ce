// A line protocol on TCP: each command is work with a name of its own.

mod stalls;

use std::error::Error;

use thread_states::Metrics;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    let metrics = Metrics::new("service");
    let exporter = metrics.export("127.0.0.1:0")?;
    metrics.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        stalls::announce(exporter.address(), listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, metrics.clone()));
        }
    })?
}

async fn serve(stream: TcpStream, metrics: Metrics) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end();
        let work = async {
            if stalls::stall(command).is_none() {
                stalls::victim().await;
            }
        };
        let name = if command == "victim" {
            "victim"
        } else {
            "stall"
        };
        metrics.measure(name, work).await;
        stream.write_all(b"done\n").await?;
        line.clear();
    }
    Ok(())
}
