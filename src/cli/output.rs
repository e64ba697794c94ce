//! Output on a terminal, into a file or into a pipe.

use std::io::{self, Write};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

/// Writes to stdout by calling `write`. Strips ANSI colors unless [`in_color`]. A reader that stops
/// early (`threadlab … | head -1`) is not an error.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Returns whether to write in color: on a terminal, unless `NO_COLOR` or `CLICOLOR` say otherwise.
pub(super) fn in_color(output: &impl RawStream) -> bool {
    AutoStream::choice(output) != ColorChoice::Never
}
