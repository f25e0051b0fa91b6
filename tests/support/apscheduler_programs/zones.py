from datetime import datetime
from zoneinfo import ZoneInfo

import pytz
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

for zone in ("Asia/Tokyo", ZoneInfo("Asia/Tokyo"), pytz.timezone("Asia/Tokyo")):
    scheduler = BackgroundScheduler(timezone=zone)
    scheduler.start(paused=True)
    job = scheduler.add_job(print, "cron", hour=9)
    other = scheduler.add_job(print, CronTrigger(hour=9, timezone="Europe/Berlin"))
    once = scheduler.add_job(print, "date", run_date=datetime(2109, 1, 1, 12))
    print(job.next_run_time.utcoffset(), other.next_run_time.hour, once.next_run_time.isoformat())
    scheduler.shutdown()
