import type { InstrumentationScope } from '@opentelemetry/core';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { VERSION } from '../../../src/component/version.ts';
import type { EndpointConfig } from '../endpoint-settings.ts';
import type { Facts } from '../logs/discovery.ts';

/** One for all records of the receiver. */
export const SCOPE: InstrumentationScope = { name: 'outband.receiver.bmc_logs', version: VERSION };

/** ONE resource object per endpoint, replaced only when facts change: the serializer groups by identity. */
export class ResourceCache {
  readonly #endpoint: EndpointConfig;
  #facts: Facts = {};
  #resource: Resource;

  constructor(endpoint: EndpointConfig) {
    this.#endpoint = endpoint;
    this.#resource = resourceFromAttributes(this.#attributes({}));
  }

  get current(): Resource {
    return this.#resource;
  }

  /** What is unknown now stays as it was known before. */
  update(facts: Facts): void {
    const known = Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined));
    const merged = { ...this.#facts, ...known };
    if (JSON.stringify(merged) === JSON.stringify(this.#facts)) return;
    this.#facts = merged;
    this.#resource = resourceFromAttributes(this.#attributes(merged));
  }

  #attributes(facts: Facts): Record<string, string | number> {
    const { name, address, labels } = this.#endpoint;
    const all = {
      ...labels,
      'host.name': name,
      'host.id': facts.systemUuid,
      'host.type': facts.model,
      'hw.vendor': facts.vendor,
      'hw.model': facts.model,
      'hw.serial_number': facts.serialNumber,
      'server.address': address.hostname.replace(/^\[|\]$/g, ''),
      'server.port': Number(address.port || (address.protocol === 'https:' ? 443 : 80)),
      'redfish.endpoint': name,
      'redfish.service.uuid': facts.serviceUuid,
      'redfish.version': facts.redfishVersion,
      'redfish.manager.firmware_version': facts.firmwareVersion,
    };
    return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
  }
}
