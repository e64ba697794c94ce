// The kinds of waits that the experiment can send, and the handlers that wait.
//
// The code is that of src/app and originals/: a test compares it. A line "…" stands for lines that are left out.
// `waitsAt` is a part of the line on which the handler waits.

/**
 * `name` is the button's text, `path` the path below a server, and `blocksLoop` says that the handler holds the thread of
 * an event loop, too. `held` and `free` complete "its only thread was …". Each language that has the
 * endpoint has `{code, waitsAt}`, and `file` if it is not the usual one.
 */
export const WAITS = [
  {
    name: "await",
    path: "",
    meaning: "GET / awaits a timer.",
    held: "held by GET\u00a0/, although that only waited",
    free: "free, because GET\u00a0/ waits there without a thread",
    rust: {
      code: `async fn awaiting(seconds: Seconds) -> Json<Completed> {
    tokio::time::sleep(seconds.get()).await;
    Completed::after(seconds, "awaited a timer")
}`,
      waitsAt: "sleep",
    },
    flask: {
      code: `@app.get("/")
def root():
    time.sleep(seconds(20))
    return {"message": "Hello World"}`,
      waitsAt: "sleep",
    },
    fastapi: {
      code: `@app.get("/")
async def root(seconds: Seconds = 20):
    await asyncio.sleep(seconds)
    return {"message": "Hello World"}`,
      waitsAt: "sleep",
    },
  },
  {
    name: "blocking",
    path: "blocking",
    meaning: "GET /blocking blocks: the common mistake.",
    blocksLoop: true,
    held: "blocked by GET\u00a0/blocking",
    free: "free",
    rust: {
      code: `async fn blocking(seconds: Seconds) -> Json<Completed> {
    // A blocking call in an async function, on purpose: this is the mistake to show.
    thread::sleep(seconds.get());
    Completed::after(seconds, "blocked the thread")
}`,
      waitsAt: "thread::sleep",
    },
    flask: {
      code: `@app.get("/blocking")
def blocking():
    time.sleep(seconds(20))
    return {"message": "blocking"}`,
      waitsAt: "sleep",
    },
    fastapi: {
      code: `@app.get("/blocking")
async def blocking(seconds: Seconds = 20):
    # The mistake: nothing else runs on the event loop meanwhile.
    time.sleep(seconds)
    return {"message": "blocking"}`,
      waitsAt: "sleep",
    },
  },
  {
    name: "offloaded",
    path: "offloaded",
    meaning: "GET /offloaded blocks a thread of a pool instead.",
    held: "held by GET\u00a0/offloaded, and waited for another thread",
    free: "free, because GET\u00a0/offloaded blocks a thread of the pool instead",
    rust: {
      code: `async fn offloaded(seconds: Seconds) -> Result<Json<Completed>, Problem> {
    thread_states::spawn_blocking(move || thread::sleep(seconds.get()))
        .await
…
    Ok(Completed::after(seconds, "blocked another thread"))
}`,
      waitsAt: ".await",
    },
    flask: {
      code: `@app.get("/offloaded")
def offloaded():
    # Flask has no pool to hand work to: this is the same as /blocking.
    time.sleep(seconds(20))
    return {"message": "offloaded"}`,
      waitsAt: "sleep",
    },
    fastapi: {
      code: `@app.get("/offloaded")
def offloaded(seconds: Seconds = 20):
    # A plain function: FastAPI runs it in a pool of threads.
    time.sleep(seconds)
    return {"message": "offloaded"}`,
      waitsAt: "sleep",
    },
  },
  {
    name: "database",
    path: "database/synchronous",
    meaning: "A query with a synchronous driver.",
    blocksLoop: true,
    held: "blocked by GET\u00a0/database/synchronous, whose driver is synchronous",
    free: "free",
    rust: {
      file: "src/app/queries.rs",
      code: `async fn synchronous(
…
) -> Result<Queried, Problem> {
    // A blocking call in an async function, on purpose: this is the mistake to show.
    let waited = synchronous_driver(database)?.query(&query(seconds, slots))?;
…
}`,
      waitsAt: ".query(",
    },
    flask: {
      code: `@app.get("/database/synchronous")
def query_synchronous():
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds(20)])
    return {"message": "synchronous"}`,
      waitsAt: "execute",
    },
    fastapi: {
      code: `@app.get("/database/synchronous")
async def query_synchronous(seconds: Seconds = 20):
    # The mistake again: the driver waits for the database, and the event loop with it.
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds])
    return {"message": "synchronous"}`,
      waitsAt: "execute",
    },
  },
  {
    name: "cpu",
    path: "cpu",
    meaning: "GET /cpu computes.",
    blocksLoop: true,
    held: "busy computing GET\u00a0/cpu",
    free: "free",
    rust: {
      code: `async fn cpu(seconds: Seconds) -> Json<Completed> {
    cpu::compute(seconds.get());
    Completed::after(seconds, "computed")
}`,
      waitsAt: "compute(",
    },
    flask: {
      code: `@app.get("/cpu")
def cpu():
    end = time.thread_time() + seconds(1)
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}`,
      waitsAt: "while",
    },
    fastapi: {
      code: `@app.get("/cpu")
async def cpu(seconds: Seconds = 1):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}`,
      waitsAt: "while",
    },
  },
];
