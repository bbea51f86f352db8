// franz-go as a driver of the tests: it answers one JSON line for each that it reads, or runs members of groups. Usage: driver HOST:PORT [members]
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	deadline     = 40 * time.Second
	largestBytes = 12_000_000
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// record is a message; a null is a nil pointer, which JSON tells from an empty string.
type record struct {
	Partition int32                `json:"partition"`
	Offset    int64                `json:"offset"`
	Timestamp int64                `json:"timestamp"`
	Key       *[]byte              `json:"key"`
	Value     *[]byte              `json:"value"`
	Headers   [][2]json.RawMessage `json:"headers"`
}

type request struct {
	Op         string            `json:"op"`
	Topic      string            `json:"topic"`
	Config     map[string]string `json:"config"`
	Codec      string            `json:"codec"`
	Idempotent bool              `json:"idempotent"`
	Records    []record          `json:"records"`
	Partition  int32             `json:"partition"`
	Partitions json.RawMessage   `json:"partitions"`
	Start      string            `json:"start"`
	At         string            `json:"at"`
	Count      int               `json:"count"`
}

func main() {
	if len(os.Args) > 2 {
		members(os.Args[1])
		return
	}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		answer := map[string]any{}
		if err := json.Unmarshal(line, &asked); err != nil {
			answer["error"] = err.Error()
		} else if result, err := perform(os.Args[1], &asked); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["result"] = result
		}
		if err := answers.Encode(answer); err != nil {
			return
		}
	}
}

func perform(address string, asked *request) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	options := []kgo.Opt{kgo.SeedBrokers(address), kgo.BrokerMaxReadBytes(100 << 20)}
	switch asked.Op {
	case "create":
		return with(options, func(client *kgo.Client) (any, error) { return create(ctx, kadm.NewClient(client), asked) })
	case "partitions":
		return with(options, func(client *kgo.Client) (any, error) { return partitions(ctx, kadm.NewClient(client), asked) })
	case "offset":
		return with(options, func(client *kgo.Client) (any, error) { return offset(ctx, kadm.NewClient(client), asked) })
	case "produce":
		options = append(options,
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[asked.Codec]),
			kgo.ProducerBatchMaxBytes(largestBytes), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(5*time.Millisecond))
		if !asked.Idempotent {
			// Several requests in flight could change places when one is sent again.
			options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		}
		return with(options, func(client *kgo.Client) (any, error) { return produce(ctx, client, asked) })
	case "consume":
		starts, err := starts(asked)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{asked.Topic: starts}),
			kgo.FetchMaxPartitionBytes(largestBytes), kgo.FetchMaxWait(200*time.Millisecond))
		return with(options, func(client *kgo.Client) (any, error) { return consume(ctx, client, asked) })
	}
	return nil, fmt.Errorf("unknown operation %q", asked.Op)
}

func with(options []kgo.Opt, use func(*kgo.Client) (any, error)) (any, error) {
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return use(client)
}

func create(ctx context.Context, admin *kadm.Client, asked *request) (any, error) {
	var count int32
	if err := json.Unmarshal(asked.Partitions, &count); err != nil {
		return nil, err
	}
	configs := map[string]*string{}
	for name, value := range asked.Config {
		configs[name] = &value
	}
	if _, err := admin.CreateTopic(ctx, count, 1, configs, asked.Topic); err != nil {
		return nil, err
	}
	// A broker may lag behind the controller.
	for {
		topics, err := admin.ListTopics(ctx, asked.Topic)
		if err == nil && topics.Error() == nil && len(topics[asked.Topic].Partitions) == int(count) {
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the topic did not appear: %v %v", err, topics.Error())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func partitions(ctx context.Context, admin *kadm.Client, asked *request) (any, error) {
	topics, err := admin.ListTopics(ctx, asked.Topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, err
	}
	return topics[asked.Topic].Partitions.Numbers(), nil
}

func offset(ctx context.Context, admin *kadm.Client, asked *request) (any, error) {
	var listed kadm.ListedOffsets
	var err error
	switch asked.At {
	case "earliest":
		listed, err = admin.ListStartOffsets(ctx, asked.Topic)
	case "latest":
		listed, err = admin.ListEndOffsets(ctx, asked.Topic)
	default:
		var milli int64
		if milli, err = strconv.ParseInt(strings.TrimPrefix(asked.At, "time:"), 10, 64); err != nil {
			return nil, err
		}
		listed, err = admin.ListOffsetsAfterMilli(ctx, milli, asked.Topic)
	}
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	found, _ := listed.Lookup(asked.Topic, asked.Partition)
	// The client itself puts the end in the place of "there is none"; that has no timestamp.
	if strings.HasPrefix(asked.At, "time:") && found.Timestamp < 0 {
		return -1, nil
	}
	return found.Offset, nil
}

func produce(ctx context.Context, client *kgo.Client, asked *request) (any, error) {
	sent := make([]*kgo.Record, len(asked.Records))
	for index, each := range asked.Records {
		made := &kgo.Record{Topic: asked.Topic, Partition: each.Partition, Timestamp: time.UnixMilli(each.Timestamp)}
		if each.Key != nil {
			made.Key = *each.Key
		}
		if each.Value != nil {
			made.Value = *each.Value
		}
		for _, header := range each.Headers {
			var name string
			var value *[]byte
			if err := json.Unmarshal(header[0], &name); err != nil {
				return nil, err
			}
			if err := json.Unmarshal(header[1], &value); err != nil {
				return nil, err
			}
			given := kgo.RecordHeader{Key: name}
			if value != nil {
				given.Value = *value
			}
			made.Headers = append(made.Headers, given)
		}
		sent[index] = made
	}
	if err := client.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(sent))
	for index, each := range sent {
		offsets[index] = each.Offset
	}
	return offsets, nil
}

func starts(asked *request) (map[int32]kgo.Offset, error) {
	var wanted []int32
	if err := json.Unmarshal(asked.Partitions, &wanted); err != nil {
		return nil, err
	}
	start := kgo.NewOffset().AtStart()
	if milli, isTime := strings.CutPrefix(asked.Start, "time:"); isTime {
		parsed, err := strconv.ParseInt(milli, 10, 64)
		if err != nil {
			return nil, err
		}
		start = kgo.NewOffset().AfterMilli(parsed)
	} else if asked.Start != "earliest" {
		parsed, err := strconv.ParseInt(asked.Start, 10, 64)
		if err != nil {
			return nil, err
		}
		start = kgo.NewOffset().At(parsed)
	}
	offsets := map[int32]kgo.Offset{}
	for _, partition := range wanted {
		offsets[partition] = start
	}
	return offsets, nil
}

func consume(ctx context.Context, client *kgo.Client, asked *request) (any, error) {
	received := []record{}
	for len(received) < asked.Count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("%d of %d messages: %w", len(received), asked.Count, err)
		}
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		var failed error
		fetches.EachRecord(func(each *kgo.Record) {
			got := record{
				Partition: each.Partition, Offset: each.Offset, Timestamp: each.Timestamp.UnixMilli(),
				Key: pointer(each.Key), Value: pointer(each.Value), Headers: [][2]json.RawMessage{},
			}
			for _, header := range each.Headers {
				name, err := json.Marshal(header.Key)
				if err != nil {
					failed = err
				}
				value, err := json.Marshal(header.Value)
				if err != nil {
					failed = err
				}
				got.Headers = append(got.Headers, [2]json.RawMessage{name, value})
			}
			received = append(received, got)
		})
		if failed != nil {
			return nil, failed
		}
	}
	return received, nil
}

func pointer(data []byte) *[]byte {
	if data == nil {
		return nil
	}
	return &data
}
