/** How the machines of a vendor look from outside. Generated in the manner of real firmware; nothing is copied from it. */
export interface Profile {
  readonly name: string;
  readonly vendor: string;
  readonly product: string;
  readonly manager: string;
  readonly system: string;
  readonly chassis: string;
  readonly services: readonly ServiceProfile[];
  /** How its stream writes events. */
  readonly stream: {
    /** `pretty`: JSON over many `data:` lines, as bmcweb does. `line`: one line, with `event:`. */
    readonly style: 'pretty' | 'line';
    /** Events name their log entry. */
    readonly linksEntry: boolean;
    /** Comments that keep the connection alive. */
    readonly heartbeat: 'comment' | 'event';
  };
}

export interface ServiceProfile {
  readonly owner: 'system' | 'manager' | 'chassis';
  readonly id: string;
  readonly order: 'asc' | 'desc';
  readonly pageSize: number;
  readonly nextLink: 'Members@odata.nextLink' | '@odata.nextLink';
  /** `integer`: counts on. `position`: place in the list, the vendor's number counts on. `text`: `SEL-7`. */
  readonly ids: 'integer' | 'position' | 'text';
  /** `utc`: `Z`. `offset`: `-05:00`. `none`: local time without a zone. */
  readonly zone: 'utc' | 'offset' | 'none';
  /** Whether its entries reach the stream. */
  readonly streamed: boolean;
}

const service = (part: Partial<ServiceProfile> & Pick<ServiceProfile, 'owner' | 'id'>): ServiceProfile => ({
  order: 'asc',
  pageSize: 1_000,
  nextLink: 'Members@odata.nextLink',
  ids: 'integer',
  zone: 'utc',
  streamed: true,
  ...part,
});

export const PROFILES: readonly Profile[] = [
  {
    name: 'openbmc',
    vendor: 'OpenBMC',
    product: 'Tacoma',
    manager: 'bmc',
    system: 'system',
    chassis: 'chassis',
    services: [service({ owner: 'system', id: 'EventLog' })],
    stream: { style: 'pretty', linksEntry: true, heartbeat: 'event' },
  },
  {
    name: 'idrac',
    vendor: 'Dell',
    product: 'Remote Access Controller',
    manager: 'Embedded.1',
    system: 'System.Embedded.1',
    chassis: 'System.Embedded.1',
    services: [
      service({ owner: 'manager', id: 'Lclog', order: 'desc', pageSize: 50, zone: 'offset' }),
      service({ owner: 'manager', id: 'Sel', order: 'desc', pageSize: 50, zone: 'offset' }),
    ],
    stream: { style: 'line', linksEntry: false, heartbeat: 'comment' },
  },
  {
    name: 'ilo',
    vendor: 'HPE',
    product: 'ProLiant',
    manager: '1',
    system: '1',
    chassis: '1',
    services: [
      service({ owner: 'system', id: 'IML', ids: 'position' }),
      service({ owner: 'manager', id: 'IEL', ids: 'position' }),
    ],
    stream: { style: 'line', linksEntry: false, heartbeat: 'comment' },
  },
  {
    name: 'xcc',
    vendor: 'Lenovo',
    product: 'XClarity Controller',
    manager: '1',
    system: '1',
    chassis: '1',
    services: [
      service({ owner: 'system', id: 'PlatformLog', order: 'desc', pageSize: 20, nextLink: '@odata.nextLink' }),
      service({ owner: 'chassis', id: 'AuditLog', pageSize: 20, nextLink: '@odata.nextLink' }),
    ],
    stream: { style: 'line', linksEntry: true, heartbeat: 'comment' },
  },
  {
    name: 'megarac',
    vendor: 'AMI',
    product: 'MegaRAC',
    manager: 'Self',
    system: 'Self',
    chassis: 'Self',
    services: [
      service({ owner: 'manager', id: 'SEL', pageSize: 100, ids: 'text', zone: 'none' }),
      service({ owner: 'chassis', id: 'Logs', pageSize: 100, ids: 'text' }),
    ],
    stream: { style: 'pretty', linksEntry: true, heartbeat: 'comment' },
  },
];
