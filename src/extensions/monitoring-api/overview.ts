import type { Host } from '../../component/component.ts';
import type { PageAnswer } from '../../component/page.ts';
import { instant } from './health-json.ts';
import type { MonitoringApiConfig } from './index.ts';

/** Members of an exporter's row, by the metric that holds the same number on the metrics page. */
const FIGURES: Readonly<Record<string, string>> = {
  otelcol_exporter_queue_size: 'queueSize',
  otelcol_exporter_queue_capacity: 'queueCapacity',
  otelcol_exporter_sent_log_records: 'sent',
  otelcol_exporter_sent_metric_points: 'sent',
  otelcol_exporter_send_failed_log_records: 'failed',
  otelcol_exporter_send_failed_metric_points: 'failed',
  otelcol_exporter_dropped_log_records: 'dropped',
  otelcol_exporter_dropped_metric_points: 'dropped',
};

/** How every component is, what every exporter has done, per signal, and what this API can be asked. */
export async function overview(
  { clock, ownMetrics, statuses }: Host,
  { auth, allow_actions: actions }: Pick<MonitoringApiConfig, 'auth' | 'allow_actions'>,
): Promise<PageAnswer> {
  const { scopeMetrics } = await ownMetrics.collect();
  const exporters = new Map<string, Record<string, string | number>>();
  for (const { descriptor, dataPoints } of scopeMetrics.flatMap(({ metrics }) => metrics)) {
    const member = FIGURES[descriptor.name];
    if (member === undefined) continue;
    for (const { attributes, value } of dataPoints) {
      const exporter = String(attributes.exporter);
      const ofPoints = descriptor.name.endsWith('_metric_points');
      const signal = String(attributes.data_type ?? (ofPoints ? 'metrics' : 'logs'));
      const key = `${exporter} ${signal}`;
      const row = exporters.get(key) ?? { exporter, signal, sent: 0, failed: 0, dropped: 0 };
      row[member] = Number(row[member] ?? 0) + Number(value);
      exporters.set(key, row);
    }
  }
  const rows = [...exporters.values()].filter(({ queueSize }) => queueSize !== undefined);
  const body = {
    updatedAt: instant(Number(clock.now() / 1_000_000n)),
    components: statuses().map(({ since, ...status }) => ({ ...status, since: instant(Number(since / 1_000_000n)) })),
    exporters: rows,
    access: { login: auth.none !== true, actions },
  };
  return { status: 200, headers: { 'cache-control': 'no-cache' }, body };
}
