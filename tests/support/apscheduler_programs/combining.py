from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

either = OrTrigger([CronTrigger(hour=2, timezone="UTC"), CronTrigger(hour=15, timezone="UTC")])
both = AndTrigger([CronTrigger(day_of_week="mon-fri", timezone="UTC"), CronTrigger(day="1-7", timezone="UTC")])
crontab = CronTrigger.from_crontab("0 0 1-15 may-aug *", timezone="UTC")
now = datetime(2100, 3, 1, 10, tzinfo=UTC)
for trigger in (either, both, crontab, DateTrigger("2101-01-01", timezone="UTC")):
    print(trigger.get_next_fire_time(None, now))
scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start(paused=True)
print(scheduler.add_job(print, either).next_run_time.hour in (2, 15))
scheduler.shutdown()
