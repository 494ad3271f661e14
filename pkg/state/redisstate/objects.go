package redisstate

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

var (
	//go:embed keepobjects.lua
	keepObjectsSource string
	//go:embed forgetobjects.lua
	forgetObjectsSource string
	//go:embed listobjects.lua
	listObjectsSource string
)

// objectScripts change and list the objects of an owner, of one family each.
type objectScripts struct {
	keep, forget, list *redis.Script
	most               int // objects of an owner and family; lower in tests
}

func newObjectScripts() objectScripts {
	return objectScripts{redis.NewScript(keepObjectsSource), redis.NewScript(forgetObjectsSource),
		redis.NewScript(listObjectsSource), state.MostObjects}
}

// objectsAtOnce is how many objects one run of a script changes.
const objectsAtOnce = 1000

func (s *Store) objectKeys(owner string, f openai.Family) []string {
	return []string{s.keys.objects(owner, f), s.keys.objectOrder(owner, f), s.keys.goneObjects(owner, f)}
}

// KeepObjects runs keepobjects.lua for each family.
func (s *Store) KeepObjects(ctx context.Context, owner string, objects []proxy.Object) error {
	byFamily := map[openai.Family][]any{}
	for _, o := range objects {
		byFamily[o.Family] = append(byFamily[o.Family], o.ID, o.Created.Unix(), o.Account)
	}
	for family, args := range byFamily {
		life := int64(0)
		if family.Passes() {
			life = int64(state.PassingLife / time.Second)
		}
		if err := s.eachObject(ctx, s.objects.keep, s.objectKeys(owner, family), args, 3, s.objects.most, life); err != nil {
			return err
		}
	}
	return nil
}

// ForgetObjects runs forgetobjects.lua for each family.
func (s *Store) ForgetObjects(ctx context.Context, owner string, ids []proxy.ObjectID) error {
	byFamily := map[openai.Family][]any{}
	for _, id := range ids {
		byFamily[id.Family] = append(byFamily[id.Family], id.ID)
	}
	for family, args := range byFamily {
		err := s.eachObject(ctx, s.objects.forget, s.objectKeys(owner, family), args, 1,
			state.MostGone, int64(state.GoneMemory/time.Second))
		if err != nil {
			return err
		}
	}
	return nil
}

// TakeObject deletes it, and counts what is deleted.
func (s *Store) TakeObject(ctx context.Context, owner string, id proxy.ObjectID) (bool, error) {
	ctx, cancel := within(ctx, s.budgets.hot)
	defer cancel()
	var taken *redis.IntCmd
	_, err := s.hot.TxPipelined(ctx, func(p redis.Pipeliner) error {
		taken = p.HDel(ctx, s.keys.objects(owner, id.Family), id.ID)
		p.ZRem(ctx, s.keys.objectOrder(owner, id.Family), id.ID)
		return nil
	})
	if err != nil {
		return false, unavailable(err)
	}
	return taken.Val() > 0, nil
}

// eachObject runs a script for some objects at a time, each of which has width arguments behind those that are common.
func (s *Store) eachObject(ctx context.Context, script *redis.Script, keys []string, args []any, width int, common ...any) error {
	for len(args) > 0 {
		n := min(len(args), objectsAtOnce*width)
		ctx, cancel := within(ctx, s.budgets.hot)
		err := script.Run(ctx, s.hot, keys, append(common[:len(common):len(common)], args[:n]...)...).Err()
		cancel()
		if err != nil {
			return unavailable(err)
		}
		args = args[n:]
	}
	return nil
}

// FindObjects reads the hashes of all families in one round trip.
func (s *Store) FindObjects(ctx context.Context, owner string, ids []proxy.ObjectID) ([]proxy.Object, error) {
	byFamily := map[openai.Family][]string{}
	for _, id := range ids {
		byFamily[id.Family] = append(byFamily[id.Family], id.ID)
	}
	ctx, cancel := within(ctx, s.budgets.hot)
	defer cancel()
	values := map[openai.Family]*redis.SliceCmd{}
	_, err := s.hot.Pipelined(ctx, func(p redis.Pipeliner) error {
		for family, names := range byFamily {
			values[family] = p.HMGet(ctx, s.keys.objects(owner, family), names...)
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	var found []proxy.Object
	for family, names := range byFamily {
		for i, value := range values[family].Val() {
			text, _ := value.(string)
			if o, ok := parseObject(family, names[i], text); ok {
				found = append(found, o)
			}
		}
	}
	return found, nil
}

// ListObjects runs listobjects.lua. A page may be long, and an upstream is asked after it, so it is not hurried.
func (s *Store) ListObjects(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	ascending := 0
	if q.Ascending {
		ascending = 1
	}
	rows, err := s.objects.list.Run(ctx, s.slow, s.objectKeys(owner, q.Family), q.From, ascending, q.Limit+1).StringSlice()
	if errors.Is(err, redis.Nil) {
		return proxy.ObjectPage{}, state.ErrNoObject
	}
	if err != nil {
		return proxy.ObjectPage{}, unavailable(err)
	}
	page := proxy.ObjectPage{More: len(rows)/2 > q.Limit}
	for i := 0; i+1 < min(len(rows), 2*q.Limit); i += 2 {
		if o, ok := parseObject(q.Family, rows[i], rows[i+1]); ok {
			page.Objects = append(page.Objects, o)
		}
	}
	return page, nil
}

// parseObject reads "<created> <account>". A record of a newer version is left alone.
func parseObject(family openai.Family, id, value string) (proxy.Object, bool) {
	created, account, ok := strings.Cut(value, " ")
	at, err := strconv.ParseInt(created, 10, 64)
	return proxy.Object{ObjectID: proxy.ObjectID{Family: family, ID: id}, Account: account, Created: time.Unix(at, 0).UTC()},
		ok && err == nil
}
