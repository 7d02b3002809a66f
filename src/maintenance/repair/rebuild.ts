import { EseError } from '../../format/ese-error.js';
import type { Signature } from '../../format/signature.js';
import type { Environment } from '../../io/environment.js';
import type { PageCensus } from '../integrity/conclude.js';
import type { IntegrityResult } from '../integrity.js';
import type { Finding } from '../report-values.js';
import type { Diagnosis } from './diagnosis.js';
import type { PageScan } from './page-scan.js';
import type { RepairedTable, RepairOptions } from './repair-report.js';
import type { RepairedIdentity } from './repaired-header.js';
import type { RepairSource } from './source-view.js';

export interface RebuildJob {
  readonly environment: Environment;
  readonly source: RepairSource;
  readonly check: IntegrityResult;
  readonly scan: PageScan;
  readonly diagnosis: Diagnosis;
  readonly temp: string;
  readonly identity: RepairedIdentity & { readonly signDbHdrFlush: Signature };
  readonly options: RepairOptions;
  readonly findings: readonly Finding[];
}

export interface Rebuilt {
  /** Both header copies of the database in its place. */
  readonly installedHeader: Uint8Array;
  readonly pages: PageCensus;
  readonly tables: readonly RepairedTable[];
  readonly findings: readonly Finding[];
  readonly keptLost: string | null;
  readonly lost: boolean;
  readonly catalogFrom: 'primary' | 'shadow' | 'union' | undefined;
}

export async function rebuildDatabase(_job: RebuildJob): Promise<Rebuilt> {
  throw new EseError('JET_errFeatureNotAvailable', 'rebuilding a damaged database is not available yet');
}
