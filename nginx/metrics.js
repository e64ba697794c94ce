// Histograms for Prometheus of request durations as clients see them. Only nginx knows these: a server does not
// see the wait before it, nor the 499, 502 and 504 responses that nginx sends itself.
//
// The counts are in memory that the workers share: key "SERIES INDEX" holds the number of requests in a bucket,
// key "SERIES sum" the sum of their seconds.

/** The counted servers. Event streams and the files of the live page are not counted. */
const SERVERS = ['sync', 'async'];

/** Statuses whose series exist, at 0, before the first such response. */
const STATUSES = [200, 499, 502, 504];

/** Upper bounds in seconds: those of the servers' histogram from 1 ms (nginx's resolution), and nginx's longest timeout. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 19, 20.5, 30, 41, 61, 100, 300, 600];

/** More items than fit into the zone. */
const MOST_ITEMS = 100000;

const REQUEST = 'nginx_http_request_duration_seconds';

const HELP = {
    nginx_http_request_duration_seconds:
        'Seconds from the first byte of a request to the last byte of its response. Status 499: the client disconnected first.',
    nginx_upstream_connect_duration_seconds:
        'Seconds until the connection to a server was open. The kernel also completes connections to a busy server.',
    nginx_upstream_header_duration_seconds:
        'Seconds until the first byte of a response arrived from a server.',
    nginx_upstream_response_duration_seconds:
        'Seconds until the last byte of a response arrived from a server.',
};

/** The nginx variable of each metric: a time, or a list of times if several servers were tried. */
const UPSTREAM = {
    nginx_upstream_connect_duration_seconds: 'upstream_connect_time',
    nginx_upstream_header_duration_seconds: 'upstream_header_time',
    nginx_upstream_response_duration_seconds: 'upstream_response_time',
};

/** Counts a completed request. Returns the value of $observed, an empty string. */
function observe(r) {
    const of = r.variables;
    if (SERVERS.includes(of.server)) {
        add(series(REQUEST, of.server, of.status), of.request_time);
        for (const metric in UPSTREAM) {
            const times = (of[UPSTREAM[metric]] || '').match(/[0-9.]+/g) || [];
            times.forEach((time) => add(series(metric, of.server), time));
        }
    }
    return '';
}

function series(metric, server, status) {
    const labels = status ? `server="${server}",http_response_status_code="${status}"` : `server="${server}"`;
    return `${metric} ${labels}`;
}

function add(series, time) {
    const seconds = Number(time);
    const bucket = BOUNDS.findIndex((bound) => seconds <= bound);
    ngx.shared.metrics.incr(`${series} ${bucket < 0 ? BOUNDS.length : bucket}`, 1, 0);
    ngx.shared.metrics.incr(`${series} sum`, seconds, 0);
}

/** Responds with all metrics in the Prometheus text format. */
function expose(r) {
    const counted = {};
    ngx.shared.metrics.items(MOST_ITEMS).forEach((item) => { counted[item[0]] = item[1]; });
    const all = {};
    SERVERS.forEach((server) => {
        STATUSES.forEach((status) => { all[series(REQUEST, server, status)] = true; });
        Object.keys(UPSTREAM).forEach((metric) => { all[series(metric, server)] = true; });
    });
    Object.keys(counted).forEach((key) => { all[key.slice(0, key.lastIndexOf(' '))] = true; });

    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4; charset=utf-8';
    r.return(200, Object.keys(HELP).map((metric) => family(metric, Object.keys(all), counted)).join(''));
}

function family(metric, all, counted) {
    const own = all.filter((series) => series.startsWith(`${metric} `)).sort();
    const head = `# HELP ${metric} ${HELP[metric]}\n# TYPE ${metric} histogram\n`;
    return head + own.map((series) => histogram(metric, series, counted)).join('');
}

function histogram(metric, series, counted) {
    const labels = series.slice(metric.length + 1);
    let count = 0;
    const buckets = BOUNDS.concat('+Inf').map((bound, i) => {
        count += counted[`${series} ${i}`] || 0;
        return `${metric}_bucket{${labels},le="${bound}"} ${count}\n`;
    });
    const sum = counted[`${series} sum`] || 0;
    return `${buckets.join('')}${metric}_sum{${labels}} ${sum}\n${metric}_count{${labels}} ${count}\n`;
}

export default { observe, expose };
