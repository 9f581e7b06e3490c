import { z } from 'zod';
import { defineExtension } from '../../component/factory.ts';
import { bool, duration, text } from '../../config/schema/values.ts';
import { HealthCheck } from './extension.ts';

const path = (fallback: string) => text().regex(/^\//, { error: 'must start with "/"' }).prefault(fallback);

const schema = z.strictObject({
  endpoint: text()
    .regex(/^[^\s/]*:\d{1,5}$/, { error: 'must be host:port' })
    .prefault('localhost:13133')
    .describe('Address to listen on; port 0 takes a free one.'),
  path: path('/').describe('Where the short answer is: ready or not.'),
  response_body: z
    .strictObject({
      healthy: text().prefault('').describe('Text instead of the JSON when ready.'),
      unhealthy: text().prefault('').describe('Text instead of the JSON when not.'),
    })
    .optional()
    .describe('Texts instead of the JSON of the short answer.'),
  http: z
    .strictObject({
      status: z
        .strictObject({
          enabled: bool().prefault(true).describe('Whether it is served.'),
          path: path('/status').describe('Where the whole status is.'),
        })
        .prefault({})
        .describe('The status of every component.'),
      config: z
        .strictObject({
          enabled: bool().prefault(false).describe('Whether it is served.'),
          path: path('/config').describe('Where the configuration is.'),
        })
        .prefault({})
        .describe('The configuration in force, with secrets masked.'),
    })
    .prefault({})
    .describe('The second form of the answer.'),
  component_health: z
    .strictObject({
      include_permanent_errors: bool().prefault(false).describe('A permanent error of a component is 500.'),
      include_recoverable_errors: bool().prefault(false).describe('A recoverable error that lasts is 500.'),
      recovery_duration: duration().prefault('1m').describe('How long it may last.'),
    })
    .prefault({})
    .describe('What of the components counts.'),
});

export type HealthCheckConfig = z.output<typeof schema>;

export default defineExtension({
  type: 'health_check',
  summary: "Answers load balancers and orchestrators: the Collector's health checks, `/livez` and `/readyz`.",
  stability: 'beta',
  schema,
  create: ({ config, host }) => new HealthCheck(config, host),
});
