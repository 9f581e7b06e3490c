import { randomUUID } from 'node:crypto';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { VERSION } from './version.ts';

/** One process is one instance. */
const INSTANCE = randomUUID();

/**
 * The agent itself, in what it tells of itself.
 * @param said by the configuration, above what the environment says
 * @see OpenTelemetry "Environment Variable Specification", OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
 */
export function agentResource(version = VERSION, said: Readonly<Record<string, string>> = {}): Resource {
  const { OTEL_SERVICE_NAME: name, OTEL_RESOURCE_ATTRIBUTES: attributes = '' } = process.env;
  return resourceFromAttributes({
    'service.name': 'outband',
    'service.version': version,
    'service.instance.id': INSTANCE,
    ...attributesOf(attributes),
    ...(name && { 'service.name': name }),
    ...said,
  });
}

/** `key=value,key=value`, percent-encoded; a text that cannot be read is no text at all, as the specification asks for. */
function attributesOf(text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  try {
    const read = pairs.map((pair) => {
      const [key, value, ...more] = pair.split('=');
      if (!key?.trim() || value === undefined || more.length > 0) throw new URIError(pair);
      return [key, value].map((part) => decodeURIComponent(part.trim())) as [string, string];
    });
    return Object.fromEntries(read);
  } catch {
    return {};
  }
}
