//! The list: for each rule of HTTP/1.1, requests and their required outcomes.

/// Server that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Synchronous,
    Asynchronous,
    /// The embedded front, before both gateways.
    Embedded,
    /// nginx, before both gateways.
    Nginx,
    /// The metrics port of a server.
    Metrics,
}

use Target::{Asynchronous, Embedded, Metrics, Nginx, Synchronous};

/// Every target.
pub const ALL: &[Target] = &[Synchronous, Asynchronous, Embedded, Nginx, Metrics];
const FRONTS: &[Target] = &[Embedded, Nginx];
const SERVERS: &[Target] = &[Synchronous, Asynchronous, Embedded, Nginx];

/// Result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The app got this: method, target and body, separated by spaces. At the metrics port, which has other
    /// paths: some response of the class 2xx.
    Served(&'static str),
    /// A response with this status that did not come from the app.
    Status(u16),
    /// A response without a head, as in HTTP/0.9.
    WithoutHead,
    /// The connection closes without a response.
    Closed,
}

use Outcome::{Closed, Served, Status, WithoutHead};

/// Target that deviates from the rule.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    pub target: Target,
    pub outcome: Outcome,
    pub reason: &'static str,
}

const fn but(target: Target, outcome: Outcome, reason: &'static str) -> Deviation {
    Deviation {
        target,
        outcome,
        reason,
    }
}

/// Request, and its required outcome.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Source of the rule; empty if it is a choice of the lab's.
    pub rule: &'static str,
    pub name: &'static str,
    /// The bytes, with a line break for each `|`. `{host}` is a Host field, `{path}` a path for GET that the
    /// app gets as `/a`, and `{post}` one for POST.
    pub request: &'static str,
    pub outcome: Outcome,
    pub targets: &'static [Target],
    pub deviations: &'static [Deviation],
    /// True if the client closes its sending side after the request.
    pub ends: bool,
}

const fn case(
    rule: &'static str,
    name: &'static str,
    request: &'static str,
    outcome: Outcome,
) -> Case {
    Case {
        rule,
        name,
        request,
        outcome,
        targets: ALL,
        deviations: &[],
        ends: false,
    }
}

impl Case {
    const fn on(self, targets: &'static [Target]) -> Self {
        Self { targets, ..self }
    }

    const fn except(self, deviations: &'static [Deviation]) -> Self {
        Self { deviations, ..self }
    }

    const fn then_ends(self) -> Self {
        Self { ends: true, ..self }
    }

    /// Result that this target must have.
    pub fn outcome_of(&self, target: Target) -> Outcome {
        let mut own = self.deviations.iter().filter(|own| own.target == target);
        own.next().map_or(self.outcome, |own| own.outcome)
    }
}

// Sources.
const PARSING: &str = "RFC 9112, 2.2";
const VERSION: &str = "RFC 9112, 2.3";
const UNSUPPORTED: &str = "RFC 9110, 15.6.6";
const LINE: &str = "RFC 9112, 3";
const HOST: &str = "RFC 9112, 3.2";
const FORMS: &str = "RFC 9112, 3.2.1 to 3.2.4";
const FIELDS: &str = "RFC 9112, 5";
const NAMES: &str = "RFC 9110, 5.1";
const VALUES: &str = "RFC 9110, 5.5";
const HOPS: &str = "RFC 9110, 7.6.1";
const CODINGS: &str = "RFC 9112, 6.1";
const LENGTH: &str = "RFC 9112, 6.3";
const CHUNKS: &str = "RFC 9112, 7.1";
const INCOMPLETE: &str = "RFC 9112, 8";
const METHODS: &str = "RFC 9110, 9.1";
const PATHS: &str = "RFC 3986, 6.2.2";
const CONDITIONS: &str = "RFC 9110, 13.1.1";
const RANGES: &str = "RFC 9110, 14.2";

// Reasons.
const DECODES: &str =
    "nginx decodes paths before it routes them, and rejects what it cannot decode";
const OLD: &str = "nginx responds to a request line without a version as in HTTP/0.9";
const MINOR: &str = "nginx processes any minor version as HTTP/1.1; hyper knows 1.0 and 1.1";
const MAJOR: &str = "nginx takes it for major version 11";
const NO_HTTP_2: &str = "nginx takes it for a malformed request";
const ONCE: &str = "nginx rejects a second Transfer-Encoding before it looks at the codings";
const OLD_VERSION: &str = "nginx takes it for a malformed version";
const SPACES: &str = "RFC 9112, section 3 lets a server accept them, and nginx does";
const UPPER: &str = "a method may be any token; nginx accepts upper-case letters, `-` and `_`";
const SCHEME: &str = "nginx ignores the scheme of an absolute target";
const CONNECTS: &str = "a front has no CONNECT, whatever its target";
const COLON: &str =
    "nginx takes it for an empty field, and forwards it as one; no setting changes that";
const NAMED: &str = "nginx cannot drop the named field, and must not forward it";
const WHOLE: &str = "nginx compares the whole value with `chunked`";
const BOTH: &str = "the section allows both: hyper drops Content-Length before it can be seen, and closes the connection";
const TWICE: &str = "the section allows both; hyper keeps one";
const NO_PATH: &str = "the metrics port has no such path";
const NO_BODY: &str =
    "no page of the metrics port reads a body, so its connection closes after the response";
const NO_METHOD: &str = "the metrics port has only GET, HEAD and POST";

/// Requests in the order of the rules.
pub const CASES: &[Case] = &[
    case(
        PARSING,
        "a request",
        "GET {path} HTTP/1.1|{host}||",
        Served("GET /a"),
    ),
    case(
        PARSING,
        "empty lines before the request line",
        "||GET {path} HTTP/1.1|{host}||",
        Served("GET /a"),
    ),
    case(
        PARSING,
        "lines that end with LF alone",
        "GET {path} HTTP/1.1\n{host}\n\n",
        Served("GET /a"),
    ),
    case(
        PARSING,
        "CR within a value",
        "GET {path} HTTP/1.1|{host}|X: a\rb||",
        Status(400),
    ),
    case(
        PARSING,
        "space before the first field",
        "GET {path} HTTP/1.1| X: 1|{host}||",
        Status(400),
    ),
    case(
        VERSION,
        "`HTTP/1.10`",
        "GET {path} HTTP/1.10|{host}||",
        Status(400),
    )
    .except(&[but(Nginx, Served("GET /a"), MINOR)]),
    case(
        VERSION,
        "`HTTP/11`",
        "GET {path} HTTP/11|{host}||",
        Status(400),
    )
    .except(&[but(Nginx, Status(505), MAJOR)]),
    case(
        VERSION,
        "`FOO/1.1`",
        "GET {path} FOO/1.1|{host}||",
        Status(400),
    ),
    case(
        VERSION,
        "`http/1.1`",
        "GET {path} http/1.1|{host}||",
        Status(400),
    ),
    case(
        VERSION,
        "`HTTP/1.`",
        "GET {path} HTTP/1.|{host}||",
        Status(400),
    ),
    case(
        VERSION,
        "`HTTP/x.y`",
        "GET {path} HTTP/x.y|{host}||",
        Status(400),
    ),
    case(
        UNSUPPORTED,
        "`HTTP/9.9`",
        "GET {path} HTTP/9.9|{host}||",
        Status(505),
    ),
    case(
        UNSUPPORTED,
        "`HTTP/2.0`",
        "GET {path} HTTP/2.0|{host}||",
        Status(505),
    ),
    case(
        UNSUPPORTED,
        "`HTTP/1.2`",
        "GET {path} HTTP/1.2|{host}||",
        Status(505),
    )
    .except(&[but(Nginx, Served("GET /a"), MINOR)]),
    case(
        UNSUPPORTED,
        "`HTTP/0.9`",
        "GET {path} HTTP/0.9|{host}||",
        Status(505),
    )
    .except(&[but(Nginx, Status(400), OLD_VERSION)]),
    case(
        UNSUPPORTED,
        "preface of HTTP/2",
        "PRI * HTTP/2.0||SM||",
        Status(505),
    )
    .except(&[but(Nginx, Status(400), NO_HTTP_2)]),
    case(LINE, "no request line", "hello||", Status(400)),
    case(LINE, "target missing", "GET||", Status(400)),
    case(LINE, "no version", "GET {path}||", Status(400)).except(&[but(Nginx, WithoutHead, OLD)]),
    case(LINE, "no version, page", "GET /||", Status(400))
        .on(FRONTS)
        .except(&[but(Nginx, WithoutHead, OLD)]),
    case(
        LINE,
        "two spaces",
        "GET  {path} HTTP/1.1|{host}||",
        Status(400),
    )
    .except(&[but(Nginx, Served("GET /a"), SPACES)]),
    case(
        LINE,
        "space in the target",
        "GET {path} b HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        LINE,
        "`(` in the method",
        "GE(T {path} HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        LINE,
        "TLS instead of HTTP",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}||",
        Status(400),
    ),
    case(
        LINE,
        "NUL in the target",
        "GET {path}\0 HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        METHODS,
        "lower-case method",
        "get {path} HTTP/1.1|{host}||",
        Served("get /a"),
    )
    .except(&[
        but(Nginx, Status(400), UPPER),
        but(Metrics, Status(405), NO_METHOD),
    ]),
    case(
        METHODS,
        "unknown method",
        "BREW {path} HTTP/1.1|{host}||",
        Served("BREW /a"),
    )
    .except(&[but(Metrics, Status(405), NO_METHOD)]),
    case(
        METHODS,
        "OPTIONS for a page",
        "OPTIONS / HTTP/1.1|{host}||",
        Status(405),
    )
    .on(FRONTS),
    case(
        METHODS,
        "TRACE",
        "TRACE {path} HTTP/1.1|{host}||",
        Status(405),
    )
    .on(FRONTS),
    case(HOST, "no Host", "GET {path} HTTP/1.1||", Status(400)),
    case(
        HOST,
        "no Host, HTTP/1.0",
        "GET {path} HTTP/1.0||",
        Served("GET /a"),
    ),
    case(
        HOST,
        "two Hosts",
        "GET {path} HTTP/1.1|Host: a|Host: b||",
        Status(400),
    ),
    case(
        HOST,
        "the same Host twice",
        "GET {path} HTTP/1.1|Host: a|Host: a||",
        Status(400),
    ),
    case(
        HOST,
        "two Hosts, HTTP/1.0",
        "GET {path} HTTP/1.0|Host: a|Host: b||",
        Status(400),
    ),
    case(
        HOST,
        "empty Host",
        "GET {path} HTTP/1.1|Host:||",
        Status(400),
    ),
    case(
        HOST,
        "user in the Host",
        "GET {path} HTTP/1.1|Host: u@h||",
        Status(400),
    ),
    case(
        HOST,
        "space in the Host",
        "GET {path} HTTP/1.1|Host: a b||",
        Status(400),
    ),
    case(
        HOST,
        "letters as the port of the Host",
        "GET {path} HTTP/1.1|Host: a:port||",
        Status(400),
    ),
    case(
        HOST,
        "path in the Host",
        "GET {path} HTTP/1.1|Host: a/b||",
        Status(400),
    ),
    case(
        HOST,
        "empty label in the Host",
        "GET {path} HTTP/1.1|Host: a..b||",
        Status(400),
    ),
    case(
        HOST,
        "port above 65535 in the Host",
        "GET {path} HTTP/1.1|Host: a:99999||",
        Status(400),
    ),
    case(
        HOST,
        "URI as the Host",
        "GET {path} HTTP/1.1|Host: http://a||",
        Status(400),
    ),
    case(
        HOST,
        "two ports in the Host",
        "GET {path} HTTP/1.1|Host: a:80:80||",
        Status(400),
    ),
    case(
        HOST,
        "IPv6 address as the Host",
        "GET {path} HTTP/1.1|Host: [::1]:80||",
        Served("GET /a"),
    ),
    case(
        HOST,
        "absolute target without a Host",
        "GET http://localhost{path} HTTP/1.1||",
        Status(400),
    ),
    case(
        FORMS,
        "absolute target",
        "GET http://localhost{path} HTTP/1.1|{host}||",
        Served("GET /a"),
    ),
    case(
        FORMS,
        "`HTTP:` as the scheme",
        "GET HTTP://localhost{path} HTTP/1.1|{host}||",
        Served("GET /a"),
    ),
    case(
        FORMS,
        "`ftp:` as the scheme",
        "GET ftp://localhost{path} HTTP/1.1|{host}||",
        Status(400),
    )
    .except(&[but(Nginx, Served("GET /a"), SCHEME)]),
    case(
        FORMS,
        "user in an absolute target",
        "GET http://u@localhost{path} HTTP/1.1|{host}||",
        Status(400),
    ),
    case(FORMS, "`GET *`", "GET * HTTP/1.1|{host}||", Status(400)),
    case(
        FORMS,
        "`OPTIONS *`",
        "OPTIONS * HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        FORMS,
        "`GET a:443`",
        "GET a:443 HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        FORMS,
        "CONNECT",
        "CONNECT a:443 HTTP/1.1|{host}||",
        Status(400),
    )
    .except(&[
        but(Embedded, Status(405), CONNECTS),
        but(Nginx, Status(405), CONNECTS),
    ]),
    case(
        FORMS,
        "`<` in a target",
        "GET {path}<b> HTTP/1.1|{host}||",
        Status(400),
    ),
    case(
        FORMS,
        "quotes and braces in a target",
        "GET {path}\"{b} HTTP/1.1|{host}||",
        Served("GET /a\"{b}"),
    )
    .except(&[but(Metrics, Status(404), NO_PATH)]),
    case(
        FORMS,
        "fragment in a target",
        "GET {path}#b HTTP/1.1|{host}||",
        Served("GET /a"),
    ),
    case(
        FIELDS,
        "field without a colon",
        "GET {path} HTTP/1.1|{host}|NoColonHere||",
        Status(400),
    )
    .except(&[but(Nginx, Served("GET /a"), COLON)]),
    case(
        FIELDS,
        "field without a name",
        "GET {path} HTTP/1.1|{host}|: x||",
        Status(400),
    ),
    case(
        FIELDS,
        "space before a colon",
        "GET {path} HTTP/1.1|{host}|X : y||",
        Status(400),
    ),
    case(
        FIELDS,
        "folded field",
        "GET {path} HTTP/1.1|{host}|X: a| b||",
        Status(400),
    ),
    case(
        FIELDS,
        "`{` in a name",
        "GET {path} HTTP/1.1|{host}|X{a: 1||",
        Status(400),
    ),
    case(
        FIELDS,
        "space in a name",
        "GET {path} HTTP/1.1|{host}|X a: 1||",
        Status(400),
    ),
    case(
        FIELDS,
        "byte above 127 in a name",
        "GET {path} HTTP/1.1|{host}|X\u{a0}a: 1||",
        Status(400),
    ),
    case(
        FIELDS,
        "byte above 127 before a name",
        "GET {path} HTTP/1.1|{host}|\u{a0}Transfer-Encoding: chunked||",
        Status(400),
    ),
    case(
        NAMES,
        "every character of a token in a name",
        "GET {path} HTTP/1.1|{host}|X!#$%&'*+.^`~a: 1||",
        Served("GET /a"),
    ),
    case(
        NAMES,
        "`_` in a name",
        "GET {path} HTTP/1.1|{host}|X_b: 1||",
        Served("GET /a"),
    ),
    case(
        NAMES,
        "digit as a name",
        "GET {path} HTTP/1.1|{host}|9: 1||",
        Served("GET /a"),
    ),
    case(
        VALUES,
        "NUL in a value",
        "GET {path} HTTP/1.1|{host}|X: a\0b||",
        Status(400),
    ),
    case(
        VALUES,
        "`\\x01` in a value",
        "GET {path} HTTP/1.1|{host}|X: a\u{1}b||",
        Status(400),
    ),
    case(
        VALUES,
        "DEL in a value",
        "GET {path} HTTP/1.1|{host}|X: a\u{7f}b||",
        Status(400),
    ),
    case(
        VALUES,
        "byte above 127 in a value",
        "GET {path} HTTP/1.1|{host}|X: \u{e9}||",
        Served("GET /a"),
    ),
    case(
        HOPS,
        "Connection that names a field",
        "GET {path} HTTP/1.1|{host}|Connection: X-A|X-A: 1||",
        Served("GET /a"),
    )
    .except(&[but(Nginx, Status(400), NAMED)]),
    case(
        CODINGS,
        "`gzip`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: gzip||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`gzip, chunked`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: gzip, chunked||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`chunked, gzip`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked, gzip||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`identity`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: identity||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`x`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: x||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`chunkedx`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunkedx||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`xchunked`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: xchunked||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`chunked;q=1`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked;q=1||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "`\"chunked\"`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: \"chunked\"||0||",
        Status(501),
    ),
    case(
        CODINGS,
        "gzip and chunked in two fields",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: gzip|Transfer-Encoding: chunked||0||",
        Status(501),
    )
    .except(&[but(Nginx, Status(400), ONCE)]),
    case(
        CODINGS,
        "chunked in two fields",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||",
        Status(400),
    ),
    case(
        CODINGS,
        "`chunked, chunked`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked, chunked||0||",
        Status(400),
    )
    .except(&[but(Nginx, Status(501), WHOLE)]),
    case(
        CODINGS,
        "chunked, HTTP/1.0",
        "POST {post} HTTP/1.0|{host}|Transfer-Encoding: chunked||0||",
        Status(400),
    ),
    case(
        CODINGS,
        "`CHUNKED`",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: CHUNKED||2|hi|0||",
        Served("POST /a hi"),
    ),
    case(
        CODINGS,
        "no coding",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding:||0||",
        Status(501),
    ),
    case(
        LENGTH,
        "Content-Length",
        "POST {post} HTTP/1.1|{host}|Content-Length: 2||hi",
        Served("POST /a hi"),
    ),
    case(
        LENGTH,
        "GET with a body",
        "GET {path} HTTP/1.1|{host}|Content-Length: 2||hi",
        Served("GET /a hi"),
    ),
    case(
        LENGTH,
        "Content-Length beside chunked",
        "POST {post} HTTP/1.1|{host}|Content-Length: 5|Transfer-Encoding: chunked||0||",
        Served("POST /a"),
    )
    .except(&[but(Nginx, Status(400), BOTH)]),
    case(
        LENGTH,
        "the same Content-Length twice",
        "POST {post} HTTP/1.1|{host}|Content-Length: 2|Content-Length: 2||hi",
        Served("POST /a hi"),
    )
    .except(&[but(Nginx, Status(400), TWICE)]),
    case(
        LENGTH,
        "two values of Content-Length",
        "POST {post} HTTP/1.1|{host}|Content-Length: 1|Content-Length: 2||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `2, 2`",
        "POST {post} HTTP/1.1|{host}|Content-Length: 2, 2||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `+2`",
        "POST {post} HTTP/1.1|{host}|Content-Length: +2||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `-1`",
        "POST {post} HTTP/1.1|{host}|Content-Length: -1||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `many`",
        "POST {post} HTTP/1.1|{host}|Content-Length: many||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `0x2`",
        "POST {post} HTTP/1.1|{host}|Content-Length: 0x2||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `2 2`",
        "POST {post} HTTP/1.1|{host}|Content-Length: 2 2||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "Content-Length of `99999999999999999999`",
        "POST {post} HTTP/1.1|{host}|Content-Length: 99999999999999999999||hi",
        Status(400),
    ),
    case(
        LENGTH,
        "empty Content-Length",
        "POST {post} HTTP/1.1|{host}|Content-Length: ||hi",
        Status(400),
    ),
    case(
        CHUNKS,
        "two chunks",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||1|h|1|i|0||",
        Served("POST /a hi"),
    ),
    case(
        CHUNKS,
        "chunk with an extension",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||2;a=b|hi|0||",
        Served("POST /a hi"),
    ),
    case(
        CHUNKS,
        "leading zeros of a size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||0002|hi|000||",
        Served("POST /a hi"),
    ),
    case(
        CHUNKS,
        "trailer field",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||2|hi|0|X: 1||",
        Served("POST /a hi"),
    ),
    case(
        CHUNKS,
        "impossible size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||fffffffffffffffff|",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        CHUNKS,
        "no size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||no size|",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        CHUNKS,
        "negative size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||-1|",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        CHUNKS,
        "`0x` before a size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||0x2|hi|0||",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        CHUNKS,
        "empty size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked|||",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        CHUNKS,
        "data longer than its size",
        "POST {post} HTTP/1.1|{host}|Transfer-Encoding: chunked||2|hiX0||",
        Status(400),
    )
    .except(&[but(Metrics, Served(""), NO_BODY)]),
    case(
        INCOMPLETE,
        "head that ends early",
        "GET {path} HTTP/1.1|Hos",
        Closed,
    )
    .then_ends(),
    case(INCOMPLETE, "nothing", "", Closed).then_ends(),
    case(
        PATHS,
        "encoded path of a file",
        "GET /live/page%2Ejs HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`//` before a file's path",
        "GET //live/page.js HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`//` in a file's path",
        "GET /live//page.js HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`/./` in a file's path",
        "GET /live/./page.js HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`..` in a file's path",
        "GET /live/x/../page.js HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`..` above the root",
        "GET /../live/page.js HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS)
    .except(&[but(Nginx, Status(400), DECODES)]),
    case(
        PATHS,
        "`%zz` in a file's path",
        "GET /live/page.js%zz HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS)
    .except(&[but(Nginx, Status(400), DECODES)]),
    case(
        PATHS,
        "encoded prefix of a server",
        "GET /%73ync/a HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`//` before the prefix of a server",
        "GET //sync/a HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "encoded `/` after the prefix",
        "GET /sync%2Fa HTTP/1.1|{host}||",
        Status(404),
    )
    .on(FRONTS),
    case(
        PATHS,
        "`%zz` in a path",
        "GET {path}%zz HTTP/1.1|{host}||",
        Served("GET /a%zz"),
    )
    .on(SERVERS)
    .except(&[but(Nginx, Status(400), DECODES)]),
    case(
        PATHS,
        "`%00` in a path",
        "GET {path}%00 HTTP/1.1|{host}||",
        Served("GET /a%00"),
    )
    .on(SERVERS)
    .except(&[but(Nginx, Status(400), DECODES)]),
    case(
        PATHS,
        "`//` in a path",
        "GET {path}//b HTTP/1.1|{host}||",
        Served("GET /a//b"),
    )
    .on(SERVERS),
    case(
        PATHS,
        "`..` in a path",
        "GET {path}/../b HTTP/1.1|{host}||",
        Served("GET /a/../b"),
    )
    .on(SERVERS),
    case(
        PATHS,
        "other case of a host and encoded characters",
        "GET {path}%2fB?c=%2F HTTP/1.1|Host: LOCALHOST||",
        Served("GET /a%2fB?c=%2F"),
    )
    .on(SERVERS),
    case(
        RANGES,
        "Range for a file",
        "GET /live/page.js HTTP/1.1|{host}|Range: bytes=0-3||",
        Status(200),
    )
    .on(FRONTS),
    case(
        CONDITIONS,
        "If-Match with another tag",
        "GET /live/page.js HTTP/1.1|{host}|If-Match: \"x\"||",
        Status(412),
    )
    .on(FRONTS),
    case(
        CONDITIONS,
        "If-Match with any tag",
        "GET /live/page.js HTTP/1.1|{host}|If-Match: *||",
        Status(200),
    )
    .on(FRONTS),
];
