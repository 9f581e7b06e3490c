// The Grafana dashboards, as tables: `npm run docs` writes them to `dashboards/`. A panel is a title, how its values are written, and
// expressions with the words that name their lines.

interface Panel {
  readonly title: string;
  /** Of Grafana: `short`, `s`, `bytes`, `percentunit`. */
  readonly unit: string;
  /** Legend by expression; `{{label}}` is a label of the line. */
  readonly lines: Readonly<Record<string, string>>;
  /** One number instead of lines over time; above the threshold, when there is one, it is red. */
  readonly stat?: { readonly redFrom?: number };
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

const rate = (metric: string) => `rate(${metric}[$__rate_interval])`;
const sumBy = (labels: string, expression: string) => `sum by (${labels}) (${expression})`;
const quantile = (q: number, metric: string, by = '') =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (${rate(`${metric}_bucket`)}))`;
const stat = (title: string, expression: string, redFrom?: number, unit = 'short'): Panel => ({
  ...{ title, unit, lines: { [expression]: '' } },
  stat: redFrom === undefined ? {} : { redFrom },
});
const lines = (title: string, byExpression: Readonly<Record<string, string>>, unit = 'short'): Panel => ({
  ...{ title, unit, lines: byExpression },
});

/** What came in and is not accounted for; at rest 0. */
const imbalance = (what: string, deadLetters: string) =>
  `sum by (instance, exporter) (otelcol_exporter_recovered_${what} + otelcol_exporter_accepted_${what} - otelcol_exporter_sent_${what} - otelcol_exporter_queued_${what} - otelcol_exporter_in_flight_${what})${deadLetters} - sum by (instance, exporter) (otelcol_exporter_dropped_${what})`;

const FLEET: Dashboard = {
  ...{ uid: 'outband-fleet', title: 'outband: fleet' },
  panels: [
    stat('Targets', 'sum(outband_scheduler_target_count)'),
    stat('Late', 'sum(outband_scheduler_target_late)', 1),
    stat('Breakers open', 'sum(outband_scheduler_breaker_count{outband_breaker_state=~"open|half_open"})', 1),
    stat('Parked', 'sum(outband_scheduler_dead_letter_count)', 1),
    stat('Account on hold', 'sum(outband_bmc_auth_holds)', 1),
    stat('Whole fleet away', 'max(outband_bmc_fleet_incident)', 1),
    lines('Endpoints by mode', { [sumBy('mode', 'outband_bmc_endpoints')]: '{{mode}}' }),
    lines('Why endpoints do not stream', { [sumBy('reason', 'outband_bmc_endpoints{reason!=""}')]: '{{reason}}' }),
    lines('Breakers', {
      [sumBy('outband_breaker_state', 'outband_scheduler_breaker_count')]: '{{outband_breaker_state}}',
    }),
    lines(
      'Since the last success, longest',
      { 'max by (outband_target_type) (outband_scheduler_target_age)': '{{outband_target_type}}' },
      's',
    ),
    lines('Changes of mode', { [sumBy('from, to', rate('outband_bmc_mode_transitions'))]: '{{from}} → {{to}}' }),
    lines('Streams that ended', { [sumBy('cause', rate('outband_bmc_stream_ends'))]: '{{cause}}' }),
    lines('Streams opened', { [sumBy('outcome', rate('outband_bmc_stream_connects'))]: '{{outcome}}' }),
    lines('Polls', { [sumBy('outcome, read_reason', rate('outband_bmc_polls'))]: '{{read_reason}}, {{outcome}}' }),
    lines(
      'From event to observation',
      {
        [quantile(0.5, 'outband_bmc_event_lag', 'transport')]: 'median, {{transport}}',
        [quantile(0.99, 'outband_bmc_event_lag', 'transport')]: '99 %, {{transport}}',
      },
      's',
    ),
    lines('Requests to BMCs', { [sumBy('status', rate('outband_bmc_requests'))]: '{{status}}' }),
    lines('Entries that a stream missed', {
      [sumBy('read_reason', rate('outband_bmc_gap_entries'))]: '{{read_reason}}',
    }),
    lines('What cannot be read, limits, resets', {
      [sumBy('stage', rate('outband_bmc_decode_errors'))]: 'unreadable: {{stage}}',
      [sumBy('limit', rate('outband_bmc_limits_hit'))]: 'limit: {{limit}}',
      [sumBy('kind', rate('outband_bmc_log_resets'))]: 'log reset: {{kind}}',
    }),
  ],
};

const DELIVERY: Dashboard = {
  ...{ uid: 'outband-delivery', title: 'outband: delivery' },
  panels: [
    stat(
      'Out of balance',
      `sum(abs(${imbalance('log_records', ' - sum by (instance, exporter) (otelcol_dlq_size)')}))`,
      1,
    ),
    stat('Dead letters', 'sum(otelcol_dlq_size)', 1),
    stat('Dropped, last hour', 'sum(increase(otelcol_exporter_dropped_log_records[1h]))', 1),
    stat('Exporters on hold', 'sum(max by (exporter, data_type) (otelcol_exporter_held))', 1),
    stat(
      'Fullest queue',
      'max(otelcol_exporter_queue_size / (otelcol_exporter_queue_capacity > 0))',
      0.8,
      'percentunit',
    ),
    stat('Store full', 'max(otelcol_storage_full)', 1),
    lines('Records in', {
      [sumBy('receiver, transport', rate('otelcol_receiver_accepted_log_records'))]: '{{receiver}}, {{transport}}',
    }),
    lines('Records out', { [sumBy('exporter', rate('otelcol_exporter_sent_log_records'))]: '{{exporter}}' }),
    lines('Offered again', {
      [sumBy('receiver', rate('otelcol_receiver_failed_log_records'))]: '{{receiver}}',
      [sumBy('exporter', rate('otelcol_exporter_enqueue_failed_log_records'))]: '{{exporter}}',
    }),
    lines('Attempts that failed', {
      [sumBy('exporter', rate('otelcol_exporter_send_failed_log_records'))]: '{{exporter}}',
    }),
    lines('Waiting', {
      [sumBy('exporter', 'otelcol_exporter_queued_log_records')]: '{{exporter}}, queued',
      [sumBy('exporter', 'otelcol_exporter_in_flight_log_records')]: '{{exporter}}, in flight',
    }),
    lines(
      'Share of the queue',
      { 'otelcol_exporter_queue_size / (otelcol_exporter_queue_capacity > 0)': '{{exporter}}, {{data_type}}' },
      'percentunit',
    ),
    lines('Dropped', {
      [sumBy('exporter, reason', rate('otelcol_exporter_dropped_log_records'))]: '{{exporter}}, {{reason}}',
    }),
    lines('Set aside', {
      [sumBy('exporter, reason', rate('otelcol_dlq_enqueued_log_records'))]: '{{exporter}}, {{reason}}',
    }),
    lines('Oldest dead letter', { otelcol_dlq_oldest_age: '{{exporter}}' }, 's'),
    lines(
      'Dead letters',
      { otelcol_dlq_size_bytes: '{{exporter}}', otelcol_dlq_capacity_bytes: '{{exporter}}, bound' },
      'bytes',
    ),
    lines('Store', { otelcol_storage_size_bytes: '{{extension}}' }, 'bytes'),
    lines('Metric points in and out', {
      [sumBy('receiver', rate('otelcol_receiver_accepted_metric_points'))]: 'in: {{receiver}}',
      [sumBy('exporter', rate('otelcol_exporter_sent_metric_points'))]: 'out: {{exporter}}',
    }),
    lines('Balance of points', { [imbalance('metric_points', '')]: '{{instance}} {{exporter}}' }),
    lines('Through processors', {
      [sumBy('processor', rate('otelcol_processor_incoming_items'))]: '{{processor}}, in',
      [sumBy('processor', rate('otelcol_processor_outgoing_items'))]: '{{processor}}, out',
    }),
  ],
};

const AGENT: Dashboard = {
  ...{ uid: 'outband-agent', title: 'outband: agent' },
  panels: [
    stat('Up for', 'min(otelcol_process_uptime)', undefined, 's'),
    stat(
      'Components not well',
      'count(otelcol_component_status{status!~"ok|starting"} == 1) or 0 * count(otelcol_component_status)',
      1,
    ),
    stat('Reloads that failed, last day', 'sum(increase(otelcol_config_reloads{outcome="failure"}[1d]))', 1),
    stat('Tick of the scheduler, age', 'max(outband_scheduler_tick_age)', 5, 's'),
    lines(
      'Event loop, delay',
      {
        nodejs_eventloop_delay_p50: 'median',
        nodejs_eventloop_delay_p99: '99 %',
        nodejs_eventloop_delay_max: 'longest',
      },
      's',
    ),
    lines('Event loop, share busy', { nodejs_eventloop_utilization: '{{instance}}' }, 'percentunit'),
    lines('Processor', { [rate('otelcol_process_cpu_seconds')]: '{{instance}}' }, 'percentunit'),
    lines(
      'Memory',
      {
        otelcol_process_memory_rss: 'resident',
        otelcol_process_runtime_heap_alloc_bytes: 'heap in use',
        otelcol_process_runtime_total_sys_memory_bytes: 'heap taken',
      },
      'bytes',
    ),
    lines('Reloads', { [sumBy('outcome', 'increase(otelcol_config_reloads[$__rate_interval])')]: '{{outcome}}' }),
    lines('Components', { 'otelcol_component_status == 1': '{{kind}} {{component}}: {{status}}' }),
    lines(
      'From due to start',
      { [quantile(0.5, 'outband_scheduler_run_lag')]: 'median', [quantile(0.99, 'outband_scheduler_run_lag')]: '99 %' },
      's',
    ),
    lines('Runs at once', {
      outband_scheduler_run_active: '{{outband_target_type}}',
      outband_scheduler_run_limit: '{{outband_target_type}}, limit',
    }),
    lines('Slots not used', { [sumBy('outband_reason', rate('outband_scheduler_run_skipped'))]: '{{outband_reason}}' }),
    lines('Own log lines left out', { [sumBy('reason', rate('otelcol_own_logs_dropped'))]: '{{reason}}' }),
  ],
};

const ATTESTATION: Dashboard = {
  ...{ uid: 'outband-attestation', title: 'outband: attestation' },
  panels: [
    stat(
      'Pools incomplete',
      'count(outband_attestation_pool_pinned < outband_attestation_pool_declared) or 0 * count(outband_attestation_pool_pinned)',
      1,
    ),
    stat('Pools stalled', 'sum(outband_attestation_pool_stalled)', 1),
    stat('Pools blocked', 'sum(outband_attestation_pool_blocked)', 1),
    stat('Since a cycle ended, longest', 'max(outband_attestation_last_cycle_age)', 600, 's'),
    lines('Pinned of declared', {
      outband_attestation_pool_pinned: '{{pool}}, pinned',
      outband_attestation_pool_declared: '{{pool}}, declared',
    }),
    lines('Coverage', { outband_attestation_pool_coverage_ratio: '{{pool}}' }, 'percentunit'),
    lines('Balancer', { 'outband_attestation_pool_balance == 1': '{{pool}}: {{verdict}}' }),
    lines('Backends that probes reach, as if equally loaded', { outband_attestation_pool_effective_size: '{{pool}}' }),
    lines(
      'Share of calls that unpinned backends get, at most',
      { outband_attestation_pool_unseen_mass_upper: '{{pool}}' },
      'percentunit',
    ),
    lines('Probes', {
      [sumBy('pool, outcome', rate('outband_attestation_discovery_probes'))]: '{{pool}}, {{outcome}}',
    }),
    lines('Probes without a proven key', {
      [sumBy('pool, category', rate('outband_attestation_discovery_failures'))]: '{{pool}}, {{category}}',
    }),
    lines('Cycles', { [sumBy('pool, result', rate('outband_attestation_discovery_cycles'))]: '{{pool}}, {{result}}' }),
    lines('Pins added and evicted', {
      [sumBy('pool', rate('outband_attestation_pins_added'))]: '{{pool}}, added',
      [sumBy('pool, reason', rate('outband_attestation_pins_evicted'))]: '{{pool}}, {{reason}}',
    }),
    lines('Clients that met an unpinned key', {
      [sumBy('pool, reason', rate('outband_attestation_handshake_rejected'))]: '{{pool}}, {{reason}}',
    }),
    lines('Keys that clients met and no probe has reached', { outband_attestation_pool_candidates: '{{pool}}' }),
    lines(
      'Time of a cycle',
      {
        [quantile(0.5, 'outband_attestation_cycle_duration', 'pool')]: '{{pool}}, median',
        [quantile(0.99, 'outband_attestation_cycle_duration', 'pool')]: '{{pool}}, 99 %',
      },
      's',
    ),
    lines(
      'What runs out',
      {
        outband_attestation_pin_min_cert_ttl: '{{pool}}, certificate',
        outband_attestation_collateral_min_ttl: 'collateral',
      },
      's',
    ),
    lines('Since a pin was proven, longest', { outband_attestation_pin_oldest_verified_age: '{{pool}}' }, 's'),
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [FLEET, DELIVERY, AGENT, ATTESTATION];

const WIDTH = 24;
const STAT = { w: 4, h: 4 };
const LINES = { w: 12, h: 8 };

/** In the form that Grafana imports. */
export function dashboardJson({ uid, title, panels }: Dashboard): string {
  let [x, y, rowHeight] = [0, 0, 0];
  const place = ({ w, h }: { w: number; h: number }) => {
    if (x + w > WIDTH || (rowHeight !== 0 && rowHeight !== h)) [x, y] = [0, y + rowHeight];
    const at = { x, y, w, h };
    [x, rowHeight] = [x + w, h];
    return at;
  };
  const datasource = { type: 'prometheus', uid: '${datasource}' };
  return `${JSON.stringify(
    {
      ...{ uid, title, tags: ['outband'], timezone: 'browser', schemaVersion: 39, editable: true, refresh: '30s' },
      time: { from: 'now-6h', to: 'now' },
      templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus' }] },
      panels: panels.map((panel, index) => ({
        ...{ id: index + 1, title: panel.title, datasource, type: panel.stat ? 'stat' : 'timeseries' },
        gridPos: place(panel.stat ? STAT : LINES),
        fieldConfig: { defaults: { unit: panel.unit, min: 0, ...thresholds(panel) }, overrides: [] },
        targets: Object.entries(panel.lines).map(([expr, legendFormat], place) => ({
          ...{ refId: String.fromCharCode(65 + place), datasource, expr, legendFormat },
        })),
      })),
    },
    null,
    2,
  )}\n`;
}

function thresholds({ stat: isStat }: Panel) {
  if (!isStat) return {};
  const { redFrom } = isStat;
  const steps = [{ color: redFrom === undefined ? 'text' : 'green', value: null as number | null }];
  if (redFrom !== undefined) steps.push({ color: 'red', value: redFrom });
  return { thresholds: { mode: 'absolute', steps } };
}
