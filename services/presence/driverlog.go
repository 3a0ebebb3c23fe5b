package presence

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// SetDriverLogger sends what the Redis driver writes by itself to logger, at debug level; without it the driver prints
// unstructured lines to standard error. It concerns the whole process: main calls it, once, before New.
func SetDriverLogger(logger *slog.Logger) { redis.SetLogger(driverLog{logger}) }

type driverLog struct{ logger *slog.Logger }

// Printf implements the driver's interface.
func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	if d.logger.Enabled(ctx, slog.LevelDebug) {
		d.logger.DebugContext(ctx, "redis driver", "says", fmt.Sprintf(format, args...))
	}
}
