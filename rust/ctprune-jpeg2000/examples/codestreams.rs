//! Decodes codestreams some times over and tells the time of each: `codestreams ROUNDS FILE…`.

use std::time::Instant;

use ctprune_jpeg2000::Decoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().ok_or("how many rounds?")?.parse()?;
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for path in arguments {
        let bytes = std::fs::read(&path)?;
        let edge = |at: usize| bytes[at..].first_chunk().map_or(0, |&b| u32::from_be_bytes(b)) as usize;
        let (rows, columns) = (edge(12), edge(8));
        let mut samples = vec![0; 2 * rows * columns];
        for _ in 0..rounds {
            let start = Instant::now();
            decoder.decode(&bytes, (rows, columns), &mut samples)?;
            all.push(start.elapsed().as_secs_f64());
        }
        if let Ok(raw) = std::fs::read(std::path::Path::new(&path).with_extension("raw")) {
            println!("{path}: {}", if raw == samples { "same" } else { "DIFFERENT" });
        }
    }
    all.sort_by(f64::total_cmp);
    println!(
        "median {:.2} ms, least {:.2} ms",
        1e3 * all[all.len() / 2],
        1e3 * all[0]
    );
    Ok(())
}
