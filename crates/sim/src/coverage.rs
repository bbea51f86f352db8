//! Counts what really happened in a simulation: a fault that never occurs, or a path that is never taken, proves nothing.

/// Makes [`Count`] and its names of one table.
macro_rules! counts {
    ($($name:ident: $text:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Count {
            $(#[doc = $text] $name,)*
        }

        /// All counts, with their names.
        pub const COUNTS: &[(Count, &str)] = &[$((Count::$name, $text),)*];
    };
}

counts! {
    Runs: "runs",
    Steps: "steps",
    Opens: "opens",
    OpensCutShort: "opens cut short by a crash",
    OpensRefused: "opens refused",
    OpensRefusedForFlips: "opens refused because of flipped bits",
    Kills: "crashes: kill -9",
    PowerLosses: "crashes: power loss",
    UnsyncedWritesAtPowerLoss: "power losses with unsynced writes",
    EntriesLost: "power losses that lost directory entries",
    TornWalWrite: "WAL writes torn by a crash",
    Shutdowns: "shutdowns in good order",
    CrashesInShutdown: "crashes during a shutdown",
    FatalStops: "stops by the broker itself",
    ShardsChanged: "opens with another number of shards",
    FailedSync: "failed syncs",
    ReadError: "read errors",
    WriteError: "write errors",
    NoSpace: "operations without space",
    SlowOperation: "slow operations",
    FlipInWal: "bits flipped in the WAL",
    FlipInCheckpoint: "bits flipped in a checkpoint",
    RecordsCompacted: "records found compacted away",
    SegmentsCompacted: "segments compacted",
    FlipInSegment: "bits flipped in a segment",
    FlipInIndex: "bits flipped in an index",
    WalDamage: "damaged WALs recovered from",
    Holes: "holes in recovered logs",
    DamagedLogs: "recovered logs that take no more",
    HoleFetches: "fetches refused in a hole",
    ClockJumps: "clock jumps",
    Disconnects: "connections lost",
    RequestTimeouts: "requests given up by clients",
    GroupsReplayed: "opens that replayed frames",
    Checkpoints: "checkpoints",
    CheckpointsFailed: "checkpoints given up",
    ExtentAllocated: "extents allocated",
    ExtentRecycled: "extents recycled",
    ExtentDeleted: "extents deleted",
    WalFull: "times that the WAL took no more",
    Rolls: "segments rolled",
    IndexWrites: "index writes",
    LogStartMoves: "log starts moved",
    SegmentDeleted: "segments deleted",
    ColdReads: "segment reads",
    IndexReads: "index reads",
    BatchesAppended: "batches appended",
    BatchesAcknowledged: "batches acknowledged",
    BatchesLost: "unacknowledged batches lost",
    RelaxedLost: "relaxed batches lost by power loss",
    CompressedBatches: "compressed batches appended",
    Jobs: "jobs",
    DuplicatesAnswered: "duplicates answered",
    ProduceRefusedForSpace: "batches refused for want of space",
    ProduceTimeouts: "batches answered with a timeout",
    OutOfOrderSequences: "batches refused as out of order",
    ProducerEpochBumps: "producer epochs bumped",
    ProducersExpired: "producers expired",
    FetchesWithRecords: "fetches with records",
    SessionFetches: "incremental fetches",
    SessionErrors: "fetch sessions lost",
    LongPolls: "fetches that waited",
    OutOfRangeFetches: "fetches out of range",
    StorageErrors: "storage errors told to clients",
    OffsetLookups: "offsets looked up",
    TimestampLookups: "offsets found by timestamp",
    EpochLookups: "ends of epochs looked up",
    EpochsRefused: "requests with a wrong epoch refused",
    TopicsCreated: "topics created",
    TopicsAutoCreated: "topics created by a Metadata request",
    TopicsDeleted: "topics deleted",
    TopicsRecreated: "topics created again",
    SettingsAltered: "settings of topics altered",
    DurabilityChanged: "logs that became synced or relaxed",
    Recompressed: "batches brought into another codec",
    PartitionsAdded: "topics that got partitions",
    RecordsDeleted: "deletions of records answered",
    MetadataAnswers: "metadata answers",
    MembersKilled: "members killed",
    MembersSilent: "members silent for longer than their session",
    MembersLeft: "members that left",
    MembersFenced: "members fenced",
    GroupsJoined: "joins of classic groups",
    GroupShares: "shares of classic groups",
    ConsumersJoined: "joins of groups of the consumer protocol",
    ConsumerAssignments: "assignments by the coordinator",
    PartitionsTaken: "partitions taken by members",
    GroupFetches: "fetches with records by members",
    OffsetsCommitted: "offsets committed",
    OffsetsRefused: "commits refused",
    LateCommits: "commits by members without a right to them",
    OffsetsRead: "committed offsets read",
    OffsetsExpired: "committed offsets that expired",
    OffsetsDeleted: "committed offsets deleted",
    GroupsDeleted: "groups deleted",
    RecordsVerified: "records verified",
    LogsVerified: "logs read back whole",
}

/// The counts of one run, or of many.
#[derive(Clone, Debug)]
pub struct Coverage([u64; COUNTS.len()]);

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage([0; COUNTS.len()])
    }
}

impl Coverage {
    /// Counts one.
    pub fn add(&mut self, count: Count) {
        self.0[count as usize] += 1;
    }

    /// Counts several.
    pub fn add_many(&mut self, count: Count, many: u64) {
        self.0[count as usize] += many;
    }

    /// How many there were.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Coverage) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }
}
