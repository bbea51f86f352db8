package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const commitEvery = 300 * time.Millisecond

var speaking sync.Mutex

// members runs consumers in the way of clients/groups, until the input ends.
func members(address string) {
	stops := map[string]context.CancelFunc{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if words[0] == "start" {
			ctx, cancel := context.WithCancel(context.Background())
			stops[words[1]] = cancel
			made := &member{name: words[1], group: words[2], topic: words[3], mode: words[4], waiting: map[int32]kgo.EpochOffset{}}
			go made.run(ctx, address)
		} else {
			stops[words[1]]()
		}
	}
}

// member is one consumer. Polling and rebalancing take turns, so that nothing is processed that was given away.
type member struct {
	name, group, topic, mode string
	waiting                  map[int32]kgo.EpochOffset
}

func (m *member) run(ctx context.Context, address string) {
	options := []kgo.Opt{
		kgo.SeedBrokers(address), kgo.ConsumerGroup(m.group), kgo.ConsumeTopics(m.topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(100 * time.Millisecond), kgo.SessionTimeout(3 * time.Second),
		kgo.HeartbeatInterval(commitEvery), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) { m.tell("assigned", given) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, taken map[string][]int32) {
			m.commit(ctx, client)
			m.lose(taken)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, taken map[string][]int32) { m.lose(taken) }),
	}
	switch m.mode {
	case "eager":
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	case "cooperative":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "consumer":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ServerSideBalancer())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		m.say("trouble", err.Error())
		return
	}
	due := time.Now().Add(commitEvery)
	for ctx.Err() == nil {
		polling, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := client.PollFetches(polling)
		cancel()
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.DeadlineExceeded) && !errors.Is(failed.Err, context.Canceled) {
				m.say("trouble", failed.Err.Error())
			}
		}
		fetches.EachPartition(func(some kgo.FetchTopicPartition) {
			if count := len(some.Records); count > 0 {
				last := some.Records[count-1]
				m.say("processed", strconv.Itoa(int(some.Partition)), strconv.FormatInt(some.Records[0].Offset, 10), strconv.FormatInt(last.Offset, 10))
				m.waiting[some.Partition] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
			}
		})
		if time.Now().After(due) {
			m.commit(context.Background(), client)
			due = time.Now().Add(commitEvery)
		}
		client.AllowRebalance()
	}
	// Leaving the group takes everything away, which commits.
	client.CloseAllowingRebalance()
	m.say("stopped")
}

func (m *member) commit(ctx context.Context, client *kgo.Client) {
	if len(m.waiting) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var failed error
	done := map[int32]int64{}
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: m.waiting},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err != nil {
				return
			}
			for _, topic := range answer.Topics {
				for _, partition := range topic.Partitions {
					if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
						failed = err
					} else {
						done[partition.Partition] = m.waiting[partition.Partition].Offset
					}
				}
			}
		})
	if failed != nil {
		m.say("trouble", failed.Error())
	}
	for partition, offset := range done {
		m.say("committed", strconv.Itoa(int(partition)), strconv.FormatInt(offset, 10))
		delete(m.waiting, partition)
	}
}

func (m *member) lose(taken map[string][]int32) {
	for _, partition := range taken[m.topic] {
		delete(m.waiting, partition)
	}
	m.tell("revoked", taken)
}

func (m *member) tell(event string, partitions map[string][]int32) {
	own := append([]int32{}, partitions[m.topic]...)
	sort.Slice(own, func(i, j int) bool { return own[i] < own[j] })
	words := []string{}
	for _, each := range own {
		words = append(words, strconv.Itoa(int(each)))
	}
	m.say(event, words...)
}

func (m *member) say(event string, words ...string) {
	line := strings.Join(append([]string{m.name, strconv.FormatInt(time.Now().UnixMicro(), 10), event}, words...), " ")
	speaking.Lock()
	defer speaking.Unlock()
	fmt.Println(strings.ReplaceAll(line, "\n", " "))
}
