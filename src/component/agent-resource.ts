import { randomUUID } from 'node:crypto';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { VERSION } from './version.ts';

/** One process is one instance. */
const INSTANCE = randomUUID();

/** The agent itself, in what it tells of itself. */
export function agentResource(version = VERSION): Resource {
  return resourceFromAttributes({
    'service.name': 'outband',
    'service.version': version,
    'service.instance.id': INSTANCE,
  });
}
