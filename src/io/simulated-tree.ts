/**
 * The directory tree of a simulated disk: what each name means now, what is durable of that, and which
 * changes of names lie between the two.
 */
import { posix } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import { type Random, randomBelow, randomChance } from './seeded-random.js';
import { allocatedBytes, type SimulatedFile } from './simulated-file.js';

export interface FileNode {
  readonly kind: 'file';
  readonly id: number;
  readonly file: SimulatedFile;
  /** Whether a name leads to it. */
  isLinked: boolean;
  handles: number;
}

export interface DirectoryNode {
  readonly kind: 'directory';
  readonly id: number;
  readonly entries: Map<string, Node>;
  readonly durable: Map<string, Node>;
}

export type Node = FileNode | DirectoryNode;

/** One name that now means another node, or none. */
interface Edit {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: Node | undefined;
}

/** Edits that happen together. */
export type NameChange = readonly Edit[];

export interface DiskState {
  readonly root: DirectoryNode;
  /** Those that no `syncDirectory` has made durable yet, in the order of time. */
  nameChanges: NameChange[];
  /** Paths whose lock was held when the program died. */
  readonly abandonedLocks: Set<string>;
  /** Highest number of a node so far. */
  lastId: number;
}

export function newDirectory(id: number): DirectoryNode {
  return { kind: 'directory', id, entries: new Map(), durable: new Map() };
}

export function fileError(error: JetErrorName, path: string): EseError {
  return new EseError(error, undefined, { file: path });
}

/** Names on the way from the root. */
export function partsOf(path: string): string[] {
  return posix
    .resolve('/', path)
    .split('/')
    .filter((part) => part !== '');
}

export function findNode(root: DirectoryNode, path: string): Node | undefined {
  let node: Node | undefined = root;
  for (const part of partsOf(path)) {
    if (node?.kind !== 'directory') return undefined;
    node = node.entries.get(part);
  }
  return node;
}

export function lookUp(root: DirectoryNode, path: string): Node {
  const node = findNode(root, path);
  if (node !== undefined) return node;
  parentOf(root, path);
  throw fileError('JET_errFileNotFound', path);
}

/** The directory in which the last part of a path is a name. */
export function parentOf(root: DirectoryNode, path: string): { directory: DirectoryNode; name: string } {
  const name = partsOf(path).at(-1);
  const directory = findNode(root, posix.dirname(posix.resolve('/', path)));
  if (name === undefined || directory?.kind !== 'directory') throw fileError('JET_errInvalidPath', path);
  return { directory, name };
}

export function isBelow(path: string, directory: string): boolean {
  return `${partsOf(path).join('/')}/`.startsWith(`${partsOf(directory).join('/')}/`);
}

export function refuseReplacement(node: Node, replaced: Node, to: string): void {
  if (replaced.kind === 'file') {
    if (node.kind === 'directory') throw fileError('JET_errInvalidPath', to);
  } else {
    if (node.kind === 'file') throw fileError('JET_errFileInvalidType', to);
    if (replaced.entries.size > 0) throw fileError('JET_errFileAccessDenied', to);
  }
}

export function usedBytesIn(directory: DirectoryNode): number {
  let bytes = 0;
  for (const node of directory.entries.values()) {
    bytes += node.kind === 'file' ? allocatedBytes(node.file) : usedBytesIn(node);
  }
  return bytes;
}

export function applyTo(edits: NameChange, entriesOf: (directory: DirectoryNode) => Map<string, Node>): void {
  for (const { directory, name, node } of edits) {
    if (node === undefined) entriesOf(directory).delete(name);
    else entriesOf(directory).set(name, node);
  }
}

/** The wanted changes, and those before them that concern a name of a later one that happens. */
function withForerunners(
  changes: readonly NameChange[],
  isWanted: (change: NameChange) => boolean,
): Set<NameChange> {
  const happening = new Set<NameChange>();
  const names = new Set<string>();
  const nameOf = ({ directory, name }: Edit): string => `${directory.id}/${name}`;
  for (const change of changes.toReversed()) {
    if (!change.some((edit) => names.has(nameOf(edit))) && !isWanted(change)) continue;
    happening.add(change);
    for (const edit of change) names.add(nameOf(edit));
  }
  return happening;
}

/** Makes the names in a directory durable. */
export function commit(state: DiskState, directory: DirectoryNode): void {
  const happening = withForerunners(state.nameChanges, (change) =>
    change.some((edit) => edit.directory === directory),
  );
  const waiting: NameChange[] = [];
  for (const change of state.nameChanges) {
    if (happening.has(change)) applyTo(change, (edited) => edited.durable);
    else waiting.push(change);
  }
  state.nameChanges = waiting;
}

/** Entries that a power failure may leave, of the directories where they differ from the durable ones. */
export function survivingNames(state: DiskState, random: Random): Map<DirectoryNode, Map<string, Node>> {
  const left = new Map<DirectoryNode, Map<string, Node>>();
  const kept = [0, 0.5, 1][randomBelow(random, 3)] ?? 0.5;
  const happening = withForerunners(state.nameChanges, () => randomChance(random, kept));
  for (const change of state.nameChanges) {
    if (!happening.has(change)) continue;
    applyTo(change, (directory) => {
      const entries = left.get(directory) ?? new Map(directory.durable);
      left.set(directory, entries);
      return entries;
    });
  }
  return left;
}

/** Copies nodes and all below them, each once. */
export function nodeCopier(
  entriesOf: (directory: DirectoryNode) => Map<string, Node>,
  durableOf: (directory: DirectoryNode) => Map<string, Node>,
  copyFile: (file: SimulatedFile) => SimulatedFile,
): <N extends Node>(node: N) => N {
  const copies = new Map<Node, Node>();
  const copyNode = (node: Node): Node => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    if (node.kind === 'file') {
      const copy: FileNode = { ...node, file: copyFile(node.file), isLinked: false, handles: 0 };
      copies.set(node, copy);
      return copy;
    }
    const copy = newDirectory(node.id);
    copies.set(node, copy);
    for (const [name, below] of entriesOf(node)) {
      const entry = copyNode(below);
      if (entry.kind === 'file') entry.isLinked = true;
      copy.entries.set(name, entry);
    }
    for (const [name, below] of durableOf(node)) copy.durable.set(name, copyNode(below));
    return copy;
  };
  return <N extends Node>(node: N): N => copyNode(node) as N;
}
